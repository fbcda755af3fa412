//! The open streams to workers, one each. A worker that does not read its messages is cut off, and connects again.

use std::collections::HashMap;

use dqa_proto::v1::{AttendResponse, attend_response};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// Unread messages of one worker before it is cut off.
const MESSAGES_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct WorkerStreams {
    senders: Mutex<HashMap<String, mpsc::Sender<AttendResponse>>>,
}

impl WorkerStreams {
    /// Opens the stream of a worker and closes an earlier one.
    pub(super) fn open(&self, worker: &str) -> mpsc::Receiver<AttendResponse> {
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        self.senders.lock().insert(worker.to_owned(), sender);
        receiver
    }

    /// Sends a message to a worker, or cuts the worker off if it reads none.
    pub(super) fn send(&self, worker: &str, message: attend_response::Message) {
        let mut senders = self.senders.lock();
        let message = AttendResponse { message: Some(message) };
        let is_sent = senders.get(worker).is_some_and(|sender| sender.try_send(message).is_ok());
        if !is_sent {
            senders.remove(worker);
        }
    }

    /// Closes the stream of this receiver. A later stream that the worker has opened stays open.
    pub(super) fn close(&self, worker: &str, receiver: &mut mpsc::Receiver<AttendResponse>) {
        let mut senders = self.senders.lock();
        receiver.close();
        if senders.get(worker).is_some_and(mpsc::Sender::is_closed) {
            senders.remove(worker);
        }
    }

    /// Cuts a worker off.
    pub(super) fn cut_off(&self, worker: &str) {
        self.senders.lock().remove(worker);
    }

    pub(super) fn is_open(&self, worker: &str) -> bool {
        self.senders.lock().contains_key(worker)
    }
}
