//! Says what is kept of a command's trainings if a signal ends it: each training that is complete, and of the one that is
//! running its whole epochs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dqa_service::program::{EndOnSignal, end_on_signal};

/// The trainings of a command that are in the store. Clones share their state.
#[derive(Clone, Default)]
pub(super) struct KeptTrainings(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    trainings: usize,
    trainings_done: usize,
    /// The training that is running, its epochs, and those that the store has.
    current: Option<(String, u32, u32)>,
}

impl KeptTrainings {
    /// Prints what is kept when a signal ends the process.
    pub(super) fn end_on_signal(&self) -> anyhow::Result<EndOnSignal> {
        let kept = self.clone();
        end_on_signal(move || kept.lines())
    }

    pub(super) fn set_trainings(&self, trainings: usize) {
        self.state().trainings = trainings;
    }

    pub(super) fn begin(&self, training: &str, epochs: u32) {
        self.state().current = Some((training.to_owned(), epochs, 0));
    }

    pub(super) fn set_epochs_done(&self, epochs_done: u32) {
        if let Some((_, _, done)) = &mut self.state().current {
            *done = epochs_done;
        }
    }

    pub(super) fn finish(&self) {
        let mut state = self.state();
        state.current = None;
        state.trainings_done += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> Vec<String> {
        let State { trainings, trainings_done, current } = &*self.state();
        if *trainings == 0 {
            return vec!["no training has begun: the same command begins again".to_owned()];
        }
        let epochs = match current {
            Some((name, epochs, done)) => format!(", and {done} of {epochs} epochs of {name}"),
            None => String::new(),
        };
        vec![
            format!("{trainings_done} of {trainings} trainings are kept{epochs}"),
            "hint: the same command goes on from there".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::KeptTrainings;

    #[test]
    fn what_is_kept_is_counted() {
        let kept = KeptTrainings::default();
        kept.set_trainings(3);
        kept.begin("split 1", 25);
        kept.finish();
        assert_eq!(kept.lines()[0], "1 of 3 trainings are kept");
        kept.begin("split 2", 25);
        kept.set_epochs_done(4);
        assert_eq!(kept.lines()[0], "1 of 3 trainings are kept, and 4 of 25 epochs of split 2");
    }
}
