//! Retries of requests to the hub: after the wait that the server asks for, else with exponential backoff, and a
//! bounded number of times.

use std::time::Duration;

use dqa_pipelines::causes;

use super::HubError;
use super::progress::note;

/// Attempts in a row without progress.
const ATTEMPTS_MAX: u32 = 5;
/// Attempts to connect. Fewer than the others: there may be no server.
const CONNECT_ATTEMPTS_MAX: u32 = 3;
/// The hub limits requests in windows of 5 minutes. A longer wait is better spent outside the program.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// Why an attempt failed.
pub(super) enum AttemptError {
    /// Another attempt would fail too.
    Permanent(HubError),
    /// Another attempt may succeed, after `wait` if the server asks for it.
    Transient { error: HubError, wait: Option<Duration> },
    /// Another attempt will succeed, since it knows what this one learned.
    Restart,
}

impl From<HubError> for AttemptError {
    fn from(error: HubError) -> AttemptError {
        AttemptError::Permanent(error)
    }
}

/// The state of the attempts at one request.
pub(super) struct Backoff {
    initial: Duration,
    failed: u32,
    restarted: u32,
}

impl Backoff {
    pub(super) fn new(initial: Duration) -> Backoff {
        Backoff { initial, failed: 0, restarted: 0 }
    }

    /// Waits for the next attempt, or returns the error if there is none. Progress resets the count of failed attempts.
    pub(super) async fn wait(&mut self, failure: AttemptError, made_progress: bool) -> Result<(), HubError> {
        if made_progress {
            self.failed = 0;
        }
        let (error, wait) = match failure {
            AttemptError::Permanent(error) => return Err(error),
            AttemptError::Restart if self.restarted < ATTEMPTS_MAX => {
                self.restarted += 1;
                return Ok(());
            }
            AttemptError::Restart => unreachable!("an attempt that knows the file does not restart"),
            AttemptError::Transient { error, wait } => (error, wait),
        };
        self.failed += 1;
        let attempts_max = if error.is_no_connection() { CONNECT_ATTEMPTS_MAX } else { ATTEMPTS_MAX };
        if self.failed >= attempts_max || wait.is_some_and(|wait| wait > RETRY_AFTER_MAX) {
            return Err(error);
        }
        let backoff = (self.initial * 2u32.pow(self.failed - 1)).min(BACKOFF_MAX);
        let wait = wait.unwrap_or(backoff);
        note(format_args!("{}; trying again in {:.1} s", causes(&error), wait.as_secs_f64()));
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
