//! The time that kinds of work take on the device, by events on its stream.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Result;
use candle_core::cuda::WrapErr;
use candle_core::cuda::cudarc::driver::sys::CUevent_flags;
use candle_core::cuda::cudarc::driver::{CudaEvent, CudaStream};

/// The time on the device by kind of work, of the work submitted while the clock runs.
#[derive(Default)]
pub(super) struct Clock(Mutex<Option<Vec<(String, CudaEvent, CudaEvent)>>>);

impl Clock {
    /// Gives `work` to the stream, with an event before and after it where the clock is on.
    pub(super) fn around(&self, stream: &Arc<CudaStream>, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return work();
        }
        let event = || {
            let event = stream.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).w()?;
            event.record(stream).w()?;
            Ok::<_, candle_core::Error>(event)
        };
        let before = event()?;
        work()?;
        let timed = (name.to_owned(), before, event()?);
        if let Some(given) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            given.push(timed);
        }
        Ok(())
    }

    pub(super) fn start(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Stops the clock. Returns the milliseconds by kind of work, in the order of each kind's first occurrence.
    pub(super) fn stop(&self) -> Result<Vec<(String, f64)>> {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let mut sums: Vec<(String, f64)> = Vec::new();
        for (name, before, after) in given {
            let milliseconds = f64::from(before.elapsed_ms(&after).w()?);
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += milliseconds,
                None => sums.push((name, milliseconds)),
            }
        }
        Ok(sums)
    }
}
