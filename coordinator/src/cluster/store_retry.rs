//! Retries operations that failed because the store did not answer.

use std::time::Duration;

use dqa_pipelines::{Retryable, causes};
use tracing::warn;

/// Initial backoff between store retries; `RETRIES_MAX` retries take about ten minutes.
const BACKOFF: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
const RETRIES_MAX: u32 = 15;

/// Returns the time to wait before the retry of this number.
pub(super) fn backoff(retry: u32) -> Duration {
    BACKOFF_MAX.min(BACKOFF * retry)
}

/// Repeats an operation until it succeeds, fails with an error that a retry cannot mend, or has been retried
/// `RETRIES_MAX` times.
pub(super) async fn retry_transient<T, E: Retryable + Send + Sync + 'static>(
    mut operation: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let mut retries = 0;
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is_retryable() && retries < RETRIES_MAX => {
                retries += 1;
                warn!(error = %causes(&error), tries = retries, "the store does not answer");
                tokio::time::sleep(backoff(retries)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
