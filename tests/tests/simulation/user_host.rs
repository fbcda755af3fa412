//! The users: they submit runs of data sets that overlap, cancel, pause and resume them, add pictures and change labels, and
//! in the end wait until every run has ended.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use dqa_proto::v1::coordinator_service_client::CoordinatorServiceClient;
use dqa_proto::v1::{self, RunState};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::data;
use super::net::channel;
use super::training;
use super::world::{SubmittedRun, World};

const RUNS_MAX: usize = 4;

/// Time between two requests of users.
const THINKING_MAX_MILLIS: u64 = 40_000;

/// Time for a coordinator's answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A leader that is not one any more has found that out by then.
const SETTLES_AFTER: Duration = Duration::from_secs(30);

const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);

type Client = CoordinatorServiceClient<Channel>;

struct Users {
    world: Rc<World>,
    clients: Vec<Client>,
    random: ChaCha8Rng,
}

pub(super) async fn run(world: Rc<World>) -> turmoil::Result {
    let mut random = ChaCha8Rng::seed_from_u64(world.seed);
    data::write(&world, &mut random);
    let clients = world.coordinators().iter().map(|name| CoordinatorServiceClient::new(channel(name))).collect();
    let mut users = Users { world, clients, random };
    while !users.world.is_mended() {
        users.ask().await;
        let thinking = users.random.random_range(1..THINKING_MAX_MILLIS);
        tokio::time::sleep(Duration::from_millis(thinking)).await;
    }
    users.finish().await;
    tokio::time::sleep(SETTLES_AFTER).await;
    Ok(())
}

impl Users {
    /// Asks for something.
    async fn ask(&mut self) {
        let names: Vec<String> = self.world.submitted().into_keys().collect();
        let Some(name) = names.choose(&mut self.random).cloned() else { return self.submit_new(0).await };
        match self.random.random_range(0..10) {
            0..3 if names.len() < RUNS_MAX => self.submit_new(names.len()).await,
            0..4 => {
                let dataset = *data::DATASETS.choose(&mut self.random).expect("there are some");
                let scenes = data::pictures(&self.world, dataset).len() / data::ALGORITHMS.len();
                data::add_scene(&self.world, dataset, scenes as u32);
                self.world.history.add(format!("a scene is added to {dataset}"));
                self.submit(&name).await;
            }
            4 => {
                let dataset = *data::DATASETS.choose(&mut self.random).expect("there are some");
                data::label(&self.world, dataset, self.random.random());
                self.world.history.add(format!("{dataset} is labelled anew"));
                self.submit(&name).await;
            }
            5 => self.cancel(&name).await,
            6 => self.control(&name, "pause").await,
            7 => self.control(&name, "retry").await,
            _ => self.resume(&name).await,
        }
    }

    async fn submit_new(&mut self, number: usize) {
        let count = self.random.random_range(1..=2);
        let datasets: BTreeSet<&str> = data::DATASETS.choose_multiple(&mut self.random, count).copied().collect();
        let name = format!("r{number}");
        let datasets: Vec<String> = datasets.into_iter().map(str::to_owned).collect();
        let is_training = self.random.random_ratio(1, 3);
        self.world.change_run(&name, |run| {
            run.datasets = datasets;
            run.is_training = is_training;
        });
        self.submit(&name).await;
    }

    /// Submits a run, for the first time or again.
    async fn submit(&mut self, name: &str) {
        let world = self.world.clone();
        let SubmittedRun { datasets, is_training, .. } = world.submitted()[name].clone();
        let pictures = datasets.iter().flat_map(|dataset| data::pictures(&world, dataset)).collect();
        world.change_run(name, |run| run.is_cancelled = false);
        let request = v1::RunRequest {
            name: name.to_owned(),
            definitions: datasets.iter().map(|dataset| data::definition(&world, dataset)).collect(),
            device: v1::DeviceClass::Cpu.into(),
            shard_windows: 4,
            metrics: if is_training { Vec::new() } else { vec!["entropy".to_owned()] },
            training: if is_training { training_json(name, &datasets) } else { Vec::new() },
            ..v1::RunRequest::default()
        };
        let submit = async |mut client: Client| {
            client.submit(v1::SubmitRequest { run: Some(request.clone()) }).await.map(Response::into_inner)
        };
        let answer = self.call(&format!("submit {name}"), submit).await;
        if answer.is_some() {
            world.change_run(name, |run| {
                run.is_accepted = true;
                run.pictures = pictures;
            });
        }
    }

    async fn cancel(&mut self, name: &str) {
        let request = v1::CancelRunRequest { name: name.to_owned() };
        let cancel =
            async |mut client: Client| client.cancel_run(request.clone()).await.map(|answer| answer.into_inner().run);
        let Some(Some(run)) = self.call(&format!("cancel {name}"), cancel).await else { return };
        let is_cancelled = run.state() == RunState::Cancelled;
        self.world.change_run(name, |run| run.is_cancelled = is_cancelled);
    }

    async fn resume(&mut self, name: &str) {
        self.world.change_run(name, |run| run.is_cancelled = false);
        self.control(name, "resume").await;
    }

    async fn control(&mut self, name: &str, what: &str) {
        let name = name.to_owned();
        if what == "retry" {
            self.world.change_run(&name, |run| run.is_cancelled = false);
        }
        let control = async |mut client: Client| match what {
            "pause" => client.pause_run(v1::PauseRunRequest { name: name.clone() }).await.map(drop),
            "retry" => client.retry_failed(v1::RetryFailedRequest { name: name.clone() }).await.map(drop),
            _ => client.resume_run(v1::ResumeRunRequest { name: name.clone() }).await.map(drop),
        };
        self.call(&format!("{what} {name}"), control).await;
    }

    /// Asks the coordinators in turn until one that leads answers. None: an error, or no answer.
    async fn call<T>(&mut self, what: &str, ask: impl AsyncFn(Client) -> Result<T, Status>) -> Option<T> {
        for client in self.clients.clone() {
            let answer = tokio::time::timeout(ANSWER_MAX, ask(client)).await;
            match answer {
                Ok(Ok(value)) => {
                    self.world.history.add(format!("user: {what}: done"));
                    return Some(value);
                }
                // It stands by, or is not reached.
                Ok(Err(status)) if matches!(status.code(), Code::Unavailable | Code::Unknown) => {}
                Ok(Err(status)) => {
                    self.world.history.add(format!("user: {what}: {:?} {}", status.code(), status.message()));
                    return None;
                }
                Err(_) => {
                    self.world.history.add(format!("user: {what}: no answer"));
                    return None;
                }
            }
        }
        self.world.history.add(format!("user: {what}: no coordinator leads"));
        None
    }

    /// Resumes what is paused, has pictures that failed scored again, and waits until every accepted run has ended.
    async fn finish(&mut self) {
        for (name, run) in self.world.submitted() {
            if !run.is_accepted || run.is_cancelled {
                continue;
            }
            loop {
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
                let Some(run) = self.find(&name).await else { continue };
                let failed = run.progress.unwrap_or_default().pictures_failed;
                match run.state() {
                    // Shards on which too many machines have failed by chance: no machine fails any more.
                    RunState::Complete if failed > 0 => self.control(&name, "retry").await,
                    // Trainings, likewise; and a plan whose coordinator was killed three times by chance.
                    RunState::Failed if is_chance(&run.failure) => self.resume(&name).await,
                    RunState::Complete | RunState::Failed => break,
                    RunState::Cancelled => self.submit(&name).await,
                    RunState::Paused => self.resume(&name).await,
                    _ => {}
                }
            }
        }
    }

    async fn find(&self, name: &str) -> Option<v1::Run> {
        for mut client in self.clients.clone() {
            let asked = client.get_run(v1::GetRunRequest { name: name.to_owned() });
            if let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_MAX, asked).await {
                return answer.into_inner().run;
            }
        }
        None
    }
}

fn training_json(name: &str, datasets: &[String]) -> Vec<u8> {
    serde_json::to_vec(&training::request(name, datasets)).expect("a request has text for keys")
}

/// Returns whether chance alone failed a run: as many machines failed as would if they failed of the run itself.
fn is_chance(failure: &str) -> bool {
    failure.contains("cannot be done") || failure.contains("planning was begun")
}
