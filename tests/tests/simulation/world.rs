//! What all machines of a simulation share: the store, the way of shards to workers, and what is known about users' runs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dqa_pipelines::store::Store;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use url::Url;

use super::exchange::Exchange;
use super::history::History;
use super::object_store::{Objects, StoreHandle};

/// Numbers simulations: two of one seed may run at the same time.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The cluster of a seed.
pub(super) struct World {
    /// The store's address: `sim://.../`.
    pub(super) origin: String,
    pub(super) objects: Arc<Objects>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) history: History,
    pub(super) seed: u64,
    coordinators: usize,
    workers: usize,
    boots: Cell<u64>,
    /// Machines whose programs have ended and are to be started again.
    ended: RefCell<BTreeSet<String>>,
    /// Coordinators that lead.
    leading: RefCell<BTreeSet<String>>,
    handles: RefCell<BTreeMap<String, Arc<StoreHandle>>>,
    runs: RefCell<BTreeMap<String, SubmittedRun>>,
    is_mended: Cell<bool>,
}

/// What a user knows about a run.
#[derive(Clone, Debug, Default)]
pub(super) struct SubmittedRun {
    pub(super) datasets: Vec<String>,
    /// Whether it trains, and does not score.
    pub(super) is_training: bool,
    /// Whether a coordinator has accepted it.
    pub(super) is_accepted: bool,
    /// Whether a coordinator has said that it is cancelled, and nobody asked for it again.
    pub(super) is_cancelled: bool,
    /// Pictures of the data sets when a coordinator last accepted it.
    pub(super) pictures: BTreeSet<String>,
}

impl World {
    pub(super) fn new(seed: u64, random: &mut ChaCha8Rng) -> World {
        let origin = format!("sim://s{seed}-{}/", NEXT.fetch_add(1, Relaxed));
        let objects = Arc::new(Objects::new(random));
        let exchange = Arc::new(Exchange::new(random.random()));
        let world = World {
            origin,
            objects,
            exchange,
            history: History::default(),
            seed,
            coordinators: random.random_range(2..=3),
            workers: random.random_range(1..=6),
            boots: Cell::new(0),
            ended: RefCell::default(),
            leading: RefCell::default(),
            handles: RefCell::default(),
            runs: RefCell::default(),
            is_mended: Cell::new(false),
        };
        Store::register(&world.origin, Arc::new(StoreHandle::new(world.objects.clone())));
        world.history.add(format!("{} coordinators, {} workers", world.coordinators, world.workers));
        world
    }

    pub(super) fn coordinators(&self) -> Vec<String> {
        (0..self.coordinators).map(|index| format!("c{index}")).collect()
    }

    pub(super) fn workers(&self) -> Vec<String> {
        (0..self.workers).map(|index| format!("w{index}")).collect()
    }

    /// Returns a number that no other start of a program has.
    pub(super) fn next_boot(&self) -> u64 {
        self.boots.set(self.boots.get() + 1);
        self.boots.get()
    }

    /// Returns the store as one machine reaches it.
    pub(super) fn store_of(&self, machine: &str) -> Store {
        let url = Url::parse(&self.origin).expect("it is an address");
        Store::from_object_store(self.handle(machine), url)
    }

    pub(super) fn handle(&self, machine: &str) -> Arc<StoreHandle> {
        let mut handles = self.handles.borrow_mut();
        let new = || Arc::new(StoreHandle::new(self.objects.clone()));
        handles.entry(machine.to_owned()).or_insert_with(new).clone()
    }

    /// Says that a machine's program has ended by itself.
    pub(super) fn program_ended(&self, machine: &str) {
        self.ended.borrow_mut().insert(machine.to_owned());
    }

    pub(super) fn take_ended(&self) -> BTreeSet<String> {
        self.ended.take()
    }

    pub(super) fn set_leading(&self, coordinator: &str, leads: bool) {
        let mut leading = self.leading.borrow_mut();
        if leads {
            leading.insert(coordinator.to_owned())
        } else {
            leading.remove(coordinator)
        };
    }

    pub(super) fn leading(&self) -> BTreeSet<String> {
        self.leading.borrow().clone()
    }

    /// Says that nothing fails any more.
    pub(super) fn mend(&self) {
        self.is_mended.set(true);
    }

    pub(super) fn is_mended(&self) -> bool {
        self.is_mended.get()
    }

    pub(super) fn submitted(&self) -> BTreeMap<String, SubmittedRun> {
        self.runs.borrow().clone()
    }

    pub(super) fn change_run(&self, name: &str, change: impl FnOnce(&mut SubmittedRun)) {
        change(self.runs.borrow_mut().entry(name.to_owned()).or_default());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        Store::unregister(&self.origin);
    }
}
