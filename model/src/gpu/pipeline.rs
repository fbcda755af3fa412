//! Batches on their way: some are filled and sent while one is computed, so that the device does not wait for this thread.
//!
//! A lane has all that its batches need from the start: nothing is allocated later, and where memory is short, it is so here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Result;
use tracing::warn;

use super::backend::Machine;
use super::batch_input::{Filling, Windows};
use super::tower::{Buffers, KernelTower};

/// Batches that are filled, sent or computed: one of each, and one more, so that a slow picture does not stop the device.
const SLOTS: usize = 4;

/// A tower whose lanes are lent to who scores with it, and kept for the next.
pub(crate) trait Lanes: Send + Sync {
    /// Windows of a batch that fills the device.
    fn batch_usual(&self) -> usize;

    /// A lane for batches of `windows` windows; of half as many where memory is too short for that, and so on.
    ///
    /// # Errors
    /// Where there is no memory for one window, or the device fails.
    fn lend(self: Arc<Self>, windows: usize) -> Result<Box<dyn Lent>>;
}

/// A lane that is lent.
pub(crate) trait Lent: Send {
    /// See [`Lane::room`].
    fn room(&self) -> usize;
    /// Patches in the batch that is filled.
    #[cfg(feature = "cuda")]
    fn patches(&self) -> usize;
    /// See [`Lane::add`].
    fn add(&mut self, windows: &Windows<'_>) -> Result<()>;
    /// See [`Lane::submit`].
    fn submit(&mut self) -> Result<()>;
    /// See [`Lane::is_full`].
    fn is_full(&self) -> bool;
    /// See [`Lane::take`].
    fn take(&mut self, wait: bool) -> Result<Option<Vec<f32>>>;
}

/// A tower on a machine, with its lanes.
pub(crate) struct KernelLanes<M: Machine> {
    tower: KernelTower<M>,
    free: Mutex<Vec<Lane<M>>>,
    /// Batches of more windows did not fit into memory.
    windows_max: AtomicUsize,
}

impl<M: Machine> KernelLanes<M> {
    pub(crate) fn new(tower: KernelTower<M>) -> KernelLanes<M> {
        KernelLanes { tower, free: Mutex::default(), windows_max: AtomicUsize::new(usize::MAX) }
    }

    /// Gives up the memory of lanes that nobody has; whether there were any.
    fn forget_free(&self) -> bool {
        let free = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        !free.is_empty()
    }

    #[cfg(feature = "cuda")]
    pub(crate) fn tower(&self) -> &KernelTower<M> {
        &self.tower
    }
}

impl<M: Machine> Lanes for KernelLanes<M> {
    fn batch_usual(&self) -> usize {
        self.tower.batch_usual
    }

    fn lend(self: Arc<Self>, windows: usize) -> Result<Box<dyn Lent>> {
        let mut windows = windows.min(self.windows_max.load(Relaxed));
        let kept = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.iter().position(|lane| lane.windows_max == windows).map(|at| free.swap_remove(at))
        };
        if let Some(lane) = kept {
            return Ok(Box::new(Loan { lanes: self, lane: Some(lane), has_failed: false }));
        }
        let lane = loop {
            match Lane::new(&self.tower, windows) {
                Err(error) if M::is_out_of_memory(&error) && self.forget_free() => {}
                Err(error) if windows > 1 && M::is_out_of_memory(&error) => {
                    windows = windows.div_ceil(2);
                    self.windows_max.fetch_min(windows, Relaxed);
                    warn!(windows, "memory is short on the device: batches are halved");
                }
                lane => break lane?,
            }
        };
        Ok(Box::new(Loan { lanes: self, lane: Some(lane), has_failed: false }))
    }
}

/// A lane until it is given back.
struct Loan<M: Machine> {
    lanes: Arc<KernelLanes<M>>,
    lane: Option<Lane<M>>,
    has_failed: bool,
}

impl<M: Machine> Loan<M> {
    /// Work on the lane; remembers a failure.
    fn work<T>(&mut self, work: impl FnOnce(&mut Lane<M>, &KernelTower<M>) -> Result<T>) -> Result<T> {
        let lane = self.lane.as_mut().expect("a lane is there until it is given back");
        let result = work(lane, &self.lanes.tower);
        self.has_failed |= result.is_err();
        result
    }
}

impl<M: Machine> Lent for Loan<M> {
    fn room(&self) -> usize {
        self.lane.as_ref().map_or(0, Lane::room)
    }

    #[cfg(feature = "cuda")]
    fn patches(&self) -> usize {
        self.lane.as_ref().map_or(0, |lane| lane.filling.patches)
    }

    fn add(&mut self, windows: &Windows<'_>) -> Result<()> {
        self.work(|lane, tower| lane.add(tower, windows))
    }

    fn submit(&mut self) -> Result<()> {
        self.work(Lane::submit)
    }

    fn is_full(&self) -> bool {
        self.lane.as_ref().is_some_and(Lane::is_full)
    }

    fn take(&mut self, wait: bool) -> Result<Option<Vec<f32>>> {
        self.work(|lane, tower| lane.take(tower, wait))
    }
}

impl<M: Machine> Drop for Loan<M> {
    fn drop(&mut self) {
        let Some(mut lane) = self.lane.take() else { return };
        // What is under way for nobody uses the lane's memory: it ends before that is used again, or freed. After a failure
        // that may be more than was sent, and there is nobody to tell of another.
        let is_idle = lane.sent.is_empty() && !self.has_failed;
        let is_settled = is_idle || self.lanes.tower.machine.settle().is_ok();
        if self.has_failed || !is_settled {
            return;
        }
        lane.sent.clear();
        lane.filling = Filling::default();
        if lane.windows_max <= self.lanes.windows_max.load(Relaxed) {
            self.lanes.free.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        }
    }
}

/// Some batches of a tower, and what they need.
struct Lane<M: Machine> {
    windows_max: usize,
    buffers: Buffers<M>,
    slots: Vec<M::Slot>,
    /// The slot that is filled.
    now: usize,
    filling: Filling,
    /// Slots that were sent, the oldest first, with their windows.
    sent: VecDeque<(usize, usize)>,
}

impl<M: Machine> Lane<M> {
    /// For batches of `windows_max` windows.
    fn new(tower: &KernelTower<M>, windows_max: usize) -> Result<Lane<M>> {
        let sizes = &tower.sizes;
        // As many as if each window were of a picture of its own, and none shared a patch.
        let patches_max = windows_max * sizes.views * sizes.patches;
        let slot = || {
            let (bytes, places) = (patches_max * sizes.patch_bytes, windows_max * sizes.tokens());
            tower.machine.slot(bytes, places, windows_max * sizes.embed)
        };
        Ok(Lane {
            windows_max,
            buffers: tower.buffers(windows_max, patches_max)?,
            slots: (0..SLOTS).map(|_| slot()).collect::<Result<_>>()?,
            now: 0,
            filling: Filling::default(),
            sent: VecDeque::new(),
        })
    }

    /// Windows that the batch that is filled has room for.
    fn room(&self) -> usize {
        self.windows_max - self.filling.windows
    }

    /// Adds windows, as many as there is room for at most.
    fn add(&mut self, tower: &KernelTower<M>, windows: &Windows<'_>) -> Result<()> {
        let stage = tower.machine.stage(&mut self.slots[self.now])?;
        self.filling.add(stage, &tower.sizes, windows);
        Ok(())
    }

    /// Sends what was added. There must be a slot that is not under way: see [`Lane::is_full`].
    fn submit(&mut self, tower: &KernelTower<M>) -> Result<()> {
        let Filling { windows, patches } = std::mem::take(&mut self.filling);
        if windows == 0 {
            return Ok(());
        }
        let (machine, sizes) = (&tower.machine, &tower.sizes);
        let slot = &mut self.slots[self.now];
        machine.upload(slot, patches * sizes.patch_bytes, windows * sizes.tokens())?;
        tower.run(slot, windows, patches, &self.buffers)?;
        machine.download(slot, &self.buffers.features, windows * sizes.embed)?;
        self.sent.push_back((self.now, windows));
        self.now = (self.now + 1) % SLOTS;
        Ok(())
    }

    /// Whether the next slot is under way: its features are to be taken before more is added.
    fn is_full(&self) -> bool {
        self.sent.len() == SLOTS
    }

    /// Features (windows, embed) of the oldest batch, if it is there, or after waiting for it.
    fn take(&mut self, tower: &KernelTower<M>, wait: bool) -> Result<Option<Vec<f32>>> {
        let Some((slot, windows)) = self.sent.front().copied() else { return Ok(None) };
        let slot = &mut self.slots[slot];
        if !wait && !tower.machine.is_done(slot)? {
            return Ok(None);
        }
        let features = tower.machine.features(slot, windows * tower.sizes.embed)?.to_vec();
        self.sent.pop_front();
        Ok(Some(features))
    }
}

#[cfg(test)]
mod tests {
    use super::super::backend::Half;
    use super::super::reference::Twin;
    use super::*;
    use crate::picture::{Origin, Rgb8};
    use crate::tower::visual::Parts;
    use crate::{ClipWeights, PromptMode, Prompts};

    /// The tests' small model, on a twin whose buffers have at most so many elements.
    fn lanes(room_max: usize) -> Arc<KernelLanes<Twin>> {
        let dir = dqa_testkit::hf::cached("tiny", "lanes");
        let weights = ClipWeights::open(&dir).unwrap();
        let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config()).unwrap();
        let parts = Parts::read(&weights, &PromptMode::Learned(prompts)).unwrap();
        Arc::new(KernelLanes::new(KernelTower::new(Twin::new(Half::F16), &parts, 2).unwrap().with_room_max(room_max)))
    }

    #[test]
    fn where_memory_is_short_batches_are_halved_and_stay_so() {
        // A window of its own picture has 98 patches of 3072 bytes.
        let lanes = lanes(5 * 98 * 3072);
        assert_eq!(lanes.clone().lend(16).unwrap().room(), 4);
        assert_eq!(lanes.clone().lend(5).unwrap().room(), 4, "it is not tried again");
        assert_eq!(lanes.clone().lend(3).unwrap().room(), 3);
        let none = super::tests::lanes(100);
        assert!(none.lend(16).is_err(), "there is no room for one window");
    }

    fn add(lane: &mut Box<dyn Lent>, seed: u64) {
        let picture = Rgb8::new(224, 224, dqa_testkit::Picture::synthetic(seed, 224, 224).rgb);
        lane.add(&Windows { whole: Some(&picture), local: &[(&picture, &[Origin { x: 0, y: 0 }])] }).unwrap();
    }

    #[test]
    fn batches_that_are_under_way_together_come_back_in_order() {
        let mut lane = lanes(usize::MAX).lend(1).unwrap();
        let mut alone = Vec::new();
        for seed in 0..SLOTS as u64 {
            add(&mut lane, seed);
            lane.submit().unwrap();
            alone.push(lane.take(true).unwrap().unwrap());
        }
        for seed in 0..SLOTS as u64 {
            assert!(!lane.is_full());
            add(&mut lane, seed);
            lane.submit().unwrap();
        }
        assert!(lane.is_full());
        let together: Vec<_> = std::iter::from_fn(|| lane.take(true).unwrap()).collect();
        assert_eq!(together, alone);
    }

    #[test]
    fn a_lane_is_kept_for_the_next_and_starts_empty() {
        let lanes = lanes(usize::MAX);
        let mut lane = lanes.clone().lend(3).unwrap();
        add(&mut lane, 1);
        lane.submit().unwrap();
        add(&mut lane, 2);
        drop(lane);
        assert_eq!(lanes.free.lock().unwrap().len(), 1);
        let mut lane = lanes.clone().lend(3).unwrap();
        assert!(lanes.free.lock().unwrap().is_empty(), "it is the same");
        assert_eq!(lane.room(), 3);
        lane.submit().unwrap();
        assert!(lane.take(true).unwrap().is_none(), "nothing was added");
    }
}
