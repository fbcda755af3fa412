//! When to try again: after what a server asks for, else after waits that grow, and not for ever.

use std::time::Duration;

use dqa_pipelines::causes;

use super::HubError;
use super::progress::note;

/// Tries one after the other that bring nothing.
const TRIES: u32 = 5;
/// A server that cannot be reached at all is given up sooner: nobody may be there.
const TRIES_TO_CONNECT: u32 = 3;
/// The hub counts requests in windows of 5 minutes: whoever is told to wait longer had better come back.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// Why a try did not bring what it should.
pub(super) enum Failure {
    /// Another one would not either.
    Final(HubError),
    /// Another one may, after `wait` where the server says so.
    Again { error: HubError, wait: Option<Duration> },
    /// Another one will: what is known now was not known when it began.
    Now,
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Failure {
        Failure::Final(error)
    }
}

/// How often it has been tried, and how long to wait.
pub(super) struct Patience {
    first: Duration,
    failed: u32,
    at_once: u32,
}

impl Patience {
    pub(super) fn new(first: Duration) -> Patience {
        Patience { first, failed: 0, at_once: 0 }
    }

    /// Waits for the next try, or gives the error back where there is none.
    pub(super) async fn after(&mut self, failure: Failure, gained: bool) -> Result<(), HubError> {
        if gained {
            self.failed = 0;
        }
        let (error, wait) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Now if self.at_once < TRIES => {
                self.at_once += 1;
                return Ok(());
            }
            Failure::Now => unreachable!("what is known is known"),
            Failure::Again { error, wait } => (error, wait),
        };
        self.failed += 1;
        let tries = if error.is_no_connection() { TRIES_TO_CONNECT } else { TRIES };
        if self.failed >= tries || wait.is_some_and(|wait| wait > RETRY_AFTER_MAX) {
            return Err(error);
        }
        let backoff = (self.first * 2u32.pow(self.failed - 1)).min(BACKOFF_MAX);
        let wait = wait.unwrap_or(backoff);
        note(format_args!("{}; trying again in {:.1} s", causes(&error), wait.as_secs_f64()));
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
