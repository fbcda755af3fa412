//! A worker's machine: the product's node and session, with simulated connections and scoring.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dqa_proto::PROTOCOL_VERSION;
use dqa_proto::v1::{DeviceClass, Hello};
use dqa_service::cluster::Task;
use dqa_service::net::AuthInterceptor;
use dqa_worker::cluster::{Node, Session};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::net::channel;
use super::scoring::FormulaExecutor;
use super::world::World;

const SLOTS: u32 = 2;

/// A worker polls at least this often, and at once when its coordinator asks.
const POLL_EVERY: Duration = Duration::from_secs(1);

const CHECK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(world: Rc<World>, machine: String) -> turmoil::Result {
    let id = format!("{machine}-{}", world.next_boot());
    let executor = FormulaExecutor::new(&world, &machine);
    let node = Node::new(Arc::new(executor), Handle::current());
    let hello = Hello {
        protocol_version: PROTOCOL_VERSION,
        id: id.clone(),
        host: machine.clone(),
        program_version: String::new(),
        device: DeviceClass::Cpu.into(),
        devices: vec!["simulated".to_owned()],
        slots: SLOTS,
        query_tasks: 0,
        serves_tls: false,
    };
    let (poll, drain) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ready = Arc::new(AtomicBool::new(false));
    let session = Session { node: node.clone(), hello, poll: poll.clone(), ready, drain: drain.clone() };
    let coordinators = world.coordinators().iter().map(|name| (name.clone(), channel(name))).collect();
    let ended = tokio::select! {
        refusal = session.run(coordinators, AuthInterceptor::new(None)) => format!("is refused: {}", refusal.message()),
        () = poll_forever(&world, &node, (&id, &machine), &poll) => unreachable!("it polls forever"),
        why = until_ended(&node, &drain) => why,
    };
    world.history.add(format!("{id} {ended}"));
    world.program_ended(&machine);
    std::future::pending().await
}

async fn poll_forever(world: &World, node: &Arc<Node>, (id, machine): (&str, &str), poll: &Notify) {
    loop {
        for text in world.exchange.take(id, machine) {
            let (node, task) = (node.clone(), Task::from_text(&text).expect("coordinators write tasks"));
            // Its outcome is in the node's reports.
            spawn_local(async move { node.run(task).await.map(drop) });
        }
        let _ = tokio::time::timeout(POLL_EVERY, poll.notified()).await;
    }
}

/// Waits until the worker is drained, or a device hangs.
async fn until_ended(node: &Node, drain: &Notify) -> String {
    loop {
        if tokio::time::timeout(CHECK_EVERY, drain.notified()).await.is_ok() {
            node.drain();
        }
        if let Some(part) = node.stop_overdue() {
            return format!("ends: {part} hangs");
        }
        if node.is_broken() {
            return "ends: its device is broken".to_owned();
        }
        if node.is_drain_reported() && node.is_idle() {
            return "is drained".to_owned();
        }
    }
}
