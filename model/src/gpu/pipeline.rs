//! Pipelines of batches: some are filled and uploaded while one is computed, so that the device does not wait for this
//! thread.
//!
//! A pipeline allocates all that its batches need at the start: memory can be short only there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Result;
use tracing::warn;

use super::backend::GpuBackend;
use super::batch_input::{BatchInput, WindowSources};
use super::tower::{Buffers, KernelTower};

/// Batches that are filled, uploaded or computed: one of each, and one more, so that a slow picture does not stop the
/// device.
const SLOTS: usize = 4;

/// A tower's pipelines, which are leased to scorers and reused.
pub(crate) trait PipelinePool: Send + Sync {
    /// Returns the number of windows in a batch that fills the device.
    fn default_batch_size(&self) -> usize;

    /// Leases a pipeline for batches of `windows` windows, or of half as many if memory is short, and so on.
    ///
    /// # Errors
    /// Fails when there is no memory for one window, or when the device fails.
    fn lease(self: Arc<Self>, windows: usize) -> Result<Box<dyn PipelineLease>>;
}

/// A leased pipeline.
pub(crate) trait PipelineLease: Send {
    /// See [`Pipeline::free_windows`].
    fn free_windows(&self) -> usize;
    /// Returns the number of patches in the batch that is being filled.
    #[cfg(feature = "cuda")]
    fn patches(&self) -> usize;
    /// See [`Pipeline::add`].
    fn add(&mut self, windows: &WindowSources<'_>) -> Result<()>;
    /// See [`Pipeline::submit`].
    fn submit(&mut self) -> Result<()>;
    /// See [`Pipeline::is_full`].
    fn is_full(&self) -> bool;
    /// See [`Pipeline::take_features`].
    fn take_features(&mut self, wait: bool) -> Result<Option<Vec<f32>>>;
}

/// A tower on a backend, with its pipelines.
pub(crate) struct BackendPipelines<B: GpuBackend> {
    tower: KernelTower<B>,
    idle: Mutex<Vec<Pipeline<B>>>,
    /// The largest batch that is tried: larger ones did not fit into memory.
    windows_max: AtomicUsize,
}

impl<B: GpuBackend> BackendPipelines<B> {
    pub(crate) fn new(tower: KernelTower<B>) -> BackendPipelines<B> {
        BackendPipelines { tower, idle: Mutex::default(), windows_max: AtomicUsize::new(usize::MAX) }
    }

    /// Frees the memory of idle pipelines; returns whether there were any.
    fn drop_idle(&self) -> bool {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        !idle.is_empty()
    }

    #[cfg(feature = "cuda")]
    pub(crate) fn tower(&self) -> &KernelTower<B> {
        &self.tower
    }
}

impl<B: GpuBackend> PipelinePool for BackendPipelines<B> {
    fn default_batch_size(&self) -> usize {
        self.tower.default_batch_size
    }

    fn lease(self: Arc<Self>, windows: usize) -> Result<Box<dyn PipelineLease>> {
        let mut windows = windows.min(self.windows_max.load(Relaxed));
        let kept = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().position(|pipeline| pipeline.windows_max == windows).map(|index| idle.swap_remove(index))
        };
        if let Some(pipeline) = kept {
            return Ok(Box::new(PooledPipeline { pipelines: self, pipeline: Some(pipeline), has_failed: false }));
        }
        let pipeline = loop {
            match Pipeline::new(&self.tower, windows) {
                Err(error) if B::is_out_of_memory(&error) && self.drop_idle() => {}
                Err(error) if windows > 1 && B::is_out_of_memory(&error) => {
                    windows = windows.div_ceil(2);
                    self.windows_max.fetch_min(windows, Relaxed);
                    warn!(windows, "memory is short on the device: batches are halved");
                }
                pipeline => break pipeline?,
            }
        };
        Ok(Box::new(PooledPipeline { pipelines: self, pipeline: Some(pipeline), has_failed: false }))
    }
}

/// A pipeline until it is returned to its pool.
struct PooledPipeline<B: GpuBackend> {
    pipelines: Arc<BackendPipelines<B>>,
    pipeline: Option<Pipeline<B>>,
    has_failed: bool,
}

impl<B: GpuBackend> PooledPipeline<B> {
    /// Runs `work` on the pipeline, and remembers a failure.
    fn work<T>(&mut self, work: impl FnOnce(&mut Pipeline<B>, &KernelTower<B>) -> Result<T>) -> Result<T> {
        let pipeline = self.pipeline.as_mut().expect("a pipeline is present until it is returned");
        let result = work(pipeline, &self.pipelines.tower);
        self.has_failed |= result.is_err();
        result
    }
}

impl<B: GpuBackend> PipelineLease for PooledPipeline<B> {
    fn free_windows(&self) -> usize {
        self.pipeline.as_ref().map_or(0, Pipeline::free_windows)
    }

    #[cfg(feature = "cuda")]
    fn patches(&self) -> usize {
        self.pipeline.as_ref().map_or(0, |pipeline| pipeline.filling.patches)
    }

    fn add(&mut self, windows: &WindowSources<'_>) -> Result<()> {
        self.work(|pipeline, tower| pipeline.add(tower, windows))
    }

    fn submit(&mut self) -> Result<()> {
        self.work(Pipeline::submit)
    }

    fn is_full(&self) -> bool {
        self.pipeline.as_ref().is_some_and(Pipeline::is_full)
    }

    fn take_features(&mut self, wait: bool) -> Result<Option<Vec<f32>>> {
        self.work(|pipeline, tower| pipeline.take_features(tower, wait))
    }
}

impl<B: GpuBackend> Drop for PooledPipeline<B> {
    fn drop(&mut self) {
        let Some(mut pipeline) = self.pipeline.take() else { return };
        // Batches that are still in flight use the pipeline's memory: they must finish before it is reused or freed.
        // After a failure more may be in flight than `sent` tells, and another failure could not be reported.
        let is_idle = pipeline.sent.is_empty() && !self.has_failed;
        let is_synchronized = is_idle || self.pipelines.tower.backend.synchronize().is_ok();
        if self.has_failed || !is_synchronized {
            return;
        }
        pipeline.sent.clear();
        pipeline.filling = BatchInput::default();
        if pipeline.windows_max <= self.pipelines.windows_max.load(Relaxed) {
            self.pipelines.idle.lock().unwrap_or_else(PoisonError::into_inner).push(pipeline);
        }
    }
}

/// Some batches of a tower, with their buffers.
struct Pipeline<B: GpuBackend> {
    windows_max: usize,
    buffers: Buffers<B>,
    slots: Vec<B::Slot>,
    /// The slot that is being filled.
    now: usize,
    filling: BatchInput,
    /// Slots in flight, the oldest first, with their windows.
    sent: VecDeque<(usize, usize)>,
}

impl<B: GpuBackend> Pipeline<B> {
    /// Makes a pipeline for batches of `windows_max` windows.
    fn new(tower: &KernelTower<B>, windows_max: usize) -> Result<Pipeline<B>> {
        let sizes = &tower.sizes;
        // The number if each window were of another picture, and no two shared a patch.
        let patches_max = windows_max * sizes.views * sizes.patches;
        let slot = || {
            let (bytes, row_indices) = (patches_max * sizes.patch_bytes, windows_max * sizes.tokens());
            tower.backend.alloc_slot(bytes, row_indices, windows_max * sizes.embed)
        };
        Ok(Pipeline {
            windows_max,
            buffers: tower.buffers(windows_max, patches_max)?,
            slots: (0..SLOTS).map(|_| slot()).collect::<Result<_>>()?,
            now: 0,
            filling: BatchInput::default(),
            sent: VecDeque::new(),
        })
    }

    /// Returns the number of windows that still fit into the batch that is being filled.
    fn free_windows(&self) -> usize {
        self.windows_max - self.filling.windows
    }

    /// Adds at most as many windows as [`Pipeline::free_windows`].
    fn add(&mut self, tower: &KernelTower<B>, windows: &WindowSources<'_>) -> Result<()> {
        let stage = tower.backend.staging_buffers(&mut self.slots[self.now])?;
        self.filling.add(stage, &tower.sizes, windows);
        Ok(())
    }

    /// Submits the windows that were added. A slot must be free: see [`Pipeline::is_full`].
    fn submit(&mut self, tower: &KernelTower<B>) -> Result<()> {
        let BatchInput { windows, patches } = std::mem::take(&mut self.filling);
        if windows == 0 {
            return Ok(());
        }
        let (backend, sizes) = (&tower.backend, &tower.sizes);
        let slot = &mut self.slots[self.now];
        backend.upload_slot(slot, patches * sizes.patch_bytes, windows * sizes.tokens())?;
        tower.run(slot, windows, patches, &self.buffers)?;
        backend.download_features(slot, &self.buffers.features, windows * sizes.embed)?;
        self.sent.push_back((self.now, windows));
        self.now = (self.now + 1) % SLOTS;
        Ok(())
    }

    /// Returns whether the next slot is in flight: its features must be taken before windows are added.
    fn is_full(&self) -> bool {
        self.sent.len() == SLOTS
    }

    /// Returns the features (windows, embed) of the oldest batch if they are ready, or waits for them if `wait` is set.
    fn take_features(&mut self, tower: &KernelTower<B>, wait: bool) -> Result<Option<Vec<f32>>> {
        let Some((slot, windows)) = self.sent.front().copied() else { return Ok(None) };
        let slot = &mut self.slots[slot];
        if !wait && !tower.backend.features_ready(slot)? {
            return Ok(None);
        }
        let features = tower.backend.wait_for_features(slot, windows * tower.sizes.embed)?.to_vec();
        self.sent.pop_front();
        Ok(Some(features))
    }
}

#[cfg(test)]
mod tests {
    use super::super::backend::Half;
    use super::super::reference::Reference;
    use super::*;
    use crate::picture::{Origin, Rgb8};
    use crate::tower::visual::VisualWeights;
    use crate::{ClipWeights, PromptMode, Prompts};

    /// Returns the tests' small model on the reference backend, whose buffers have at most `alloc_len_max` elements.
    fn pipelines(alloc_len_max: usize) -> Arc<BackendPipelines<Reference>> {
        let dir = dqa_testkit::hf::cached("tiny", "lanes");
        let weights = ClipWeights::open(&dir).unwrap();
        let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config()).unwrap();
        let parts = VisualWeights::read(&weights, &PromptMode::Learned(prompts)).unwrap();
        Arc::new(BackendPipelines::new(
            KernelTower::new(Reference::new(Half::F16), &parts, 2).unwrap().with_alloc_len_max(alloc_len_max),
        ))
    }

    #[test]
    fn where_memory_is_short_batches_are_halved_and_stay_so() {
        // A window of its own picture has 98 patches of 3072 bytes.
        let pipelines = pipelines(5 * 98 * 3072);
        assert_eq!(pipelines.clone().lease(16).unwrap().free_windows(), 4);
        assert_eq!(pipelines.clone().lease(5).unwrap().free_windows(), 4, "it is not tried again");
        assert_eq!(pipelines.clone().lease(3).unwrap().free_windows(), 3);
        let none = super::tests::pipelines(100);
        assert!(none.lease(16).is_err(), "there is no room for one window");
    }

    fn add(pipeline: &mut Box<dyn PipelineLease>, seed: u64) {
        let picture = Rgb8::new(224, 224, dqa_testkit::Picture::synthetic(seed, 224, 224).rgb);
        pipeline.add(&WindowSources { whole: Some(&picture), local: &[(&picture, &[Origin { x: 0, y: 0 }])] }).unwrap();
    }

    #[test]
    fn batches_that_are_under_way_together_come_back_in_order() {
        let mut pipeline = pipelines(usize::MAX).lease(1).unwrap();
        let mut alone = Vec::new();
        for seed in 0..SLOTS as u64 {
            add(&mut pipeline, seed);
            pipeline.submit().unwrap();
            alone.push(pipeline.take_features(true).unwrap().unwrap());
        }
        for seed in 0..SLOTS as u64 {
            assert!(!pipeline.is_full());
            add(&mut pipeline, seed);
            pipeline.submit().unwrap();
        }
        assert!(pipeline.is_full());
        let together: Vec<_> = std::iter::from_fn(|| pipeline.take_features(true).unwrap()).collect();
        assert_eq!(together, alone);
    }

    #[test]
    fn a_pipeline_is_reused_and_starts_empty() {
        let pipelines = pipelines(usize::MAX);
        let mut pipeline = pipelines.clone().lease(3).unwrap();
        add(&mut pipeline, 1);
        pipeline.submit().unwrap();
        add(&mut pipeline, 2);
        drop(pipeline);
        assert_eq!(pipelines.idle.lock().unwrap().len(), 1);
        let mut pipeline = pipelines.clone().lease(3).unwrap();
        assert!(pipelines.idle.lock().unwrap().is_empty(), "it is the same");
        assert_eq!(pipeline.free_windows(), 3);
        pipeline.submit().unwrap();
        assert!(pipeline.take_features(true).unwrap().is_none(), "nothing was added");
    }
}
