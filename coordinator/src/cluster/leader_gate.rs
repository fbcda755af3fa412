//! Gives the services the control plane if this coordinator leads, and the leader's name otherwise.

use std::sync::Arc;

use dqa_proto::refused;
use parking_lot::RwLock;
use tonic::{Code, Status};

use super::control_plane::ControlPlane;

pub(super) struct LeaderGate {
    coordinator_id: String,
    /// The control plane, or the name of the coordinator that leads.
    plane: RwLock<Result<Arc<ControlPlane>, String>>,
}

impl LeaderGate {
    /// Creates a closed gate.
    pub(super) fn new(coordinator_id: String) -> LeaderGate {
        LeaderGate { coordinator_id, plane: RwLock::new(Err("none".to_owned())) }
    }

    pub(super) fn coordinator_id(&self) -> &str {
        &self.coordinator_id
    }

    /// Returns the control plane.
    ///
    /// # Errors
    /// `Unavailable` when another coordinator leads.
    pub(super) fn plane(&self) -> Result<Arc<ControlPlane>, Status> {
        self.plane.read().clone().map_err(|leader| {
            let message = format!("coordinator {} stands by; {leader} leads", self.coordinator_id);
            refused(Code::Unavailable, "stands_by", message)
        })
    }

    pub(super) fn open(&self, plane: Arc<ControlPlane>) {
        *self.plane.write() = Ok(plane);
    }

    pub(super) fn close(&self, leader: &str) {
        *self.plane.write() = Err(leader.to_owned());
    }
}
