//! A coordinator's machine: the product's coordinator, with simulated connections.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dqa_coordinator::cluster::{Coordinator, CoordinatorSettings, RunLifecycle, RunSpawner, Transport};
use dqa_coordinator::run::Roots;
use dqa_proto::v1::coordinator_service_server::CoordinatorServiceServer;
use dqa_proto::v1::worker_service_server::WorkerServiceServer;
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use turmoil::net::TcpListener;

use super::exchange::Direct;
use super::net::{Incoming, PORT};
use super::world::World;

/// A supervisor starts a program again after this time.
const RESTART_AFTER: Duration = Duration::from_secs(2);

pub(super) async fn run(world: Rc<World>, name: String) -> turmoil::Result {
    world.exchange.forget(&name);
    world.set_leading(&name, false);
    let mut coordinator = loop {
        match Coordinator::new(settings(&world, &name)).await {
            Ok(coordinator) => break coordinator,
            Err(error) => world.history.add(format!("{name} does not start: {error:#}")),
        }
        tokio::time::sleep(RESTART_AFTER).await;
    };
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let services = tonic::transport::Server::builder()
        .add_service(CoordinatorServiceServer::new(coordinator.users()))
        .add_service(WorkerServiceServer::new(coordinator.workers()));
    spawn_local(services.serve_with_incoming(Incoming::new(listener)));
    let leads = async || {
        world.history.add(format!("{name} leads"));
        world.set_leading(&name, true);
    };
    let follower = coordinator.lead(leads).await?;
    world.history.add(format!("{name} is superseded by {follower}"));
    world.set_leading(&name, false);
    world.program_ended(&name);
    std::future::pending().await
}

fn settings(world: &Rc<World>, name: &str) -> CoordinatorSettings {
    let transport = Direct { exchange: world.exchange.clone(), coordinator: name.to_owned() };
    CoordinatorSettings {
        store: world.store_of(name),
        id: name.to_owned(),
        roots: Roots::unrestricted(),
        deadline_base: Duration::from_secs(60),
        transport: Transport::Direct(Arc::new(transport)),
        run_spawner: local_spawner(),
    }
}

/// Returns a spawner that drives runs on this machine's only thread.
fn local_spawner() -> RunSpawner {
    let (sender, mut lifecycles) = mpsc::unbounded_channel::<RunLifecycle>();
    spawn_local(async move {
        while let Some(lifecycle) = lifecycles.recv().await {
            spawn_local(lifecycle());
        }
    });
    Arc::new(move |lifecycle| sender.send(lifecycle).map_err(|_| io::Error::other("the machine is down")))
}
