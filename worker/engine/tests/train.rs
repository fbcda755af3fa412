//! Trials of a tiny model on made-up pictures: gone on from a checkpoint, selected, stopped, written.

#![allow(clippy::unwrap_used)] // helpers too

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use candle_core::Device;
use dqa_engine::decode::{self, Limits};
use dqa_engine::inference::InferenceSettings;
use dqa_engine::train::{BaseModel, TrainError, TrainingEvent, TrainingResources, TrialRunner};
use dqa_model::{Batcher, ClipWeights, Options, Prepared, PromptMode, Prompts, Scorer};
use dqa_pipelines::dataset::{self, DataSet, Definition};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::train::{SceneNames, Select, Setup, Splits, SplitsOptions, Trial, TrialRecord, Tune, WeightsDtype};
use dqa_testkit::{Picture, hf};
use tokio::runtime::Runtime;

const SCENES: usize = 6;

/// A folder with a data set of two algorithms and stores.
struct Bench {
    dir: tempfile::TempDir,
    runtime: Runtime,
    data: DataSet,
    runner: TrialRunner,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut labels = "image,mos\n".to_owned();
        for (number, algorithm) in ["dcp", "aod"].into_iter().enumerate() {
            std::fs::create_dir_all(dir.path().join("haze").join(algorithm)).unwrap();
            for scene in 0..SCENES {
                let name = format!("{algorithm}/s{scene}.png");
                let picture = Picture::synthetic((scene * 2 + number) as u64, 240 + scene, 288);
                std::fs::write(dir.path().join("haze").join(&name), picture.png()).unwrap();
                labels += &format!("{name},{}\n", 20 + 40 * number + 3 * scene);
            }
        }
        std::fs::write(dir.path().join("haze/labels.csv"), labels).unwrap();
        let definition = "name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{scene}.png\"\n\
            [labels]\nfile = \"labels.csv\"\nrange = [0, 100]\n";
        std::fs::write(dir.path().join("haze.toml"), definition).unwrap();
        let runtime = Runtime::new().unwrap();
        let data = runtime.block_on(dataset::load(&definition_at(dir.path()))).unwrap();
        let model = hf::cached("tiny", "tune");
        let start = BaseModel::open(model.to_str().unwrap(), None, 0, true).unwrap();
        Bench { runner: TrialRunner::new(start, machine(1 << 20)), dir, runtime, data }
    }

    fn store(&self, name: &str) -> Store {
        Store::create(self.dir.path().join(name).to_str().unwrap(), Path::new("")).unwrap()
    }

    fn trial(&self, setup: &Setup) -> Trial {
        let options = SplitsOptions { test_share: 0.34, ..SplitsOptions::default() };
        let splits = Splits::draw(&self.data.name, SceneNames::new(&self.data).labelled(), &options).unwrap();
        Trial::plan(&self.data, (&splits, 1), self.runner.base().model(), setup).unwrap()
    }

    fn run(&self, trial: &Trial, store: &Store) -> Result<TrialRecord, TrainError> {
        self.runner.run(trial, store, self.runtime.handle(), &mut |_| ())
    }

    /// The files of a trial that do not say when or how fast.
    fn learned(&self, trial: &Trial, store: &Store) -> BTreeMap<String, Vec<u8>> {
        let objects = self.runtime.block_on(store.list_sorted(&format!("trials/{}", trial.name()))).unwrap();
        let timeless = |key: &str| !key.ends_with("trial.json") && !key.ends_with("epochs.parquet");
        let read = |key: String| {
            let bytes = self.runtime.block_on(store.get(&key)).unwrap();
            (key.rsplit('/').next().unwrap().to_owned(), bytes.to_vec())
        };
        objects.into_iter().filter(|object| timeless(&object.key)).map(|object| read(object.key)).collect()
    }

    fn column(&self, trial: &Trial, store: &Store, file: &str, column: &str) -> Vec<Option<f64>> {
        let bytes = self.runtime.block_on(store.get(&trial.key(file))).unwrap();
        let batches = parquet_file::read(bytes).unwrap();
        let values = batches.iter().flat_map(|batch| {
            batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect::<Vec<_>>()
        });
        values.collect()
    }
}

fn definition_at(dir: &Path) -> Definition {
    dataset::find_definition(dir.join("haze.toml").to_str().unwrap(), Path::new("")).unwrap()
}

/// That keeps about three of the pictures decoded.
fn machine(kept_bytes_max: u64) -> TrainingResources {
    let settings =
        InferenceSettings { batch: Some(8), decode_threads: 2, picture_bytes_max: 8 << 20, limits: Limits::default() };
    TrainingResources { device: Device::Cpu, device_name: "cpu".to_owned(), settings, kept_bytes_max }
}

/// Small enough for a test: 8 pictures train in two steps, 4 test.
fn setup() -> Setup {
    Setup { batch_size: 5, epochs: 3, lr: 1e-3, ..Setup::default() }
}

#[test]
fn a_training_that_was_cut_off_ends_with_the_same_bytes() {
    let bench = Bench::new();
    // After an epoch, after the first of a selection, and between the last epoch and the outcome.
    for (after, select) in [(2, Select::Last), (1, Select::BestOnTest), (3, Select::BestOnValidation)] {
        let (whole, cut) = (bench.store(&format!("whole{after}")), bench.store(&format!("cut{after}")));
        let trial = bench.trial(&Setup { select, validation_share: 0.5, ..setup() });
        let key = trial.key("checkpoint.safetensors");
        let kill = async || cut.put(&key, whole.get(&key).await.unwrap()).await.unwrap();
        let record = bench.runner.run(&trial, &whole, bench.runtime.handle(), &mut |event| match event {
            TrainingEvent::Epoch(row) if row.epoch == after => bench.runtime.block_on(kill()),
            _ => {}
        });
        assert!(record.unwrap().is_complete());
        let mut done = None;
        let again = bench.runner.run(&trial, &cut, bench.runtime.handle(), &mut |event| {
            if let TrainingEvent::Begun { epochs_done, .. } = event {
                done = Some(epochs_done);
            }
        });
        assert_eq!(done, Some(after));
        assert_eq!(bench.learned(&trial, &cut), bench.learned(&trial, &whole));
        let losses = |store| bench.column(&trial, store, "epochs.parquet", "loss");
        assert_eq!(losses(&cut), losses(&whole));
        assert!(!bench.learned(&trial, &cut).contains_key("checkpoint.safetensors"), "it is of no use any more");
        // Complete is done.
        let third = bench.runner.run(&trial, &cut, bench.runtime.handle(), &mut |event| panic!("{event:?}"));
        assert_eq!(third.unwrap(), again.unwrap());
    }
}

#[test]
fn what_is_kept_in_memory_and_how_many_threads_decode_change_nothing() {
    let bench = Bench::new();
    let trial = bench.trial(&setup());
    let (few, all) = (bench.store("few"), bench.store("all"));
    bench.run(&trial, &few).unwrap();
    let mut machine = machine(1 << 30);
    machine.settings.decode_threads = 5;
    let runner = TrialRunner::new(bench.runner.base().clone(), machine);
    runner.run(&trial, &all, bench.runtime.handle(), &mut |_| ()).unwrap();
    assert_eq!(bench.learned(&trial, &few), bench.learned(&trial, &all));
    let other = bench.trial(&Setup { seed: 1, ..setup() });
    bench.run(&other, &all).unwrap();
    assert_ne!(bench.learned(&other, &all), bench.learned(&trial, &all));
}

#[test]
fn validation_chooses_without_the_test() {
    let bench = Bench::new();
    let setup = Setup { select: Select::BestOnValidation, validation_share: 0.5, lr: 1e-2, ..setup() };
    let trial = bench.trial(&setup);
    let mut other = trial.clone();
    for picture in &mut other.test {
        picture.mos = 100.0 - picture.mos;
        picture.target = 1.0 - picture.target;
    }
    let store = bench.store("store");
    let (one, two) = (bench.run(&trial, &store).unwrap(), bench.run(&other, &store).unwrap());
    let (one, two) = (one.kept.unwrap(), two.kept.unwrap());
    assert_eq!((one.epoch, &one.validation, &one.train), (two.epoch, &two.validation, &two.train));
    assert_ne!(one.test, two.test);
    let prompts = |trial| bench.learned(trial, &store).remove("prompts.safetensors").unwrap();
    assert_eq!(prompts(&trial), prompts(&other));
}

#[test]
fn the_best_epoch_s_state_is_kept_and_its_test_is_what_is_reported() {
    let bench = Bench::new();
    let setup = Setup { select: Select::BestOnTest, lr: 3e-3, ..setup() };
    let trial = bench.trial(&setup);
    let store = bench.store("store");
    let kept = bench.run(&trial, &store).unwrap().kept.unwrap();
    let srccs = bench.column(&trial, &store, "epochs.parquet", "held_out_srcc");
    let best = srccs.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = srccs.iter().position(|srcc| *srcc == Some(best)).unwrap();
    assert_eq!((kept.epoch as usize, kept.test.unwrap().srcc), (first + 1, Some(best)));
    // A training that ends there has learned the same.
    let short = bench.trial(&Setup { epochs: kept.epoch, select: Select::Last, ..setup });
    bench.run(&short, &store).unwrap();
    // Their files say beside the tensors which scenes chose the epoch.
    let tensors = |trial| {
        let file = bench.learned(trial, &store).remove("prompts.safetensors").unwrap();
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        file[8 + header..].to_vec()
    };
    assert!(tensors(&trial) == tensors(&short));
}

#[test]
fn a_model_is_tested_as_it_is_written() {
    let bench = Bench::new();
    let setup = Setup { tune: Tune::All, weights_dtype: WeightsDtype::F16, epochs: 1, ..setup() };
    let (trial, store) = (bench.trial(&setup), bench.store("store"));
    let kept = bench.run(&trial, &store).unwrap().kept.unwrap();
    let folder = bench.dir.path().join("store").join(trial.key("").trim_end_matches('/'));
    let weights = ClipWeights::open(&folder).unwrap();
    let prompts = Prompts::open(&folder.join("prompts.safetensors"), weights.config()).unwrap();
    let scorer = Scorer::new(&weights, &PromptMode::Learned(prompts), &Options::default()).unwrap();
    let scorer = std::sync::Arc::new(scorer);
    let mut batcher = Batcher::new(scorer.clone(), 8).unwrap();
    for picture in &trial.test {
        let bytes = std::fs::read(bench.dir.path().join("haze").join(&picture.image)).unwrap();
        let decoded = decode::decode(&bytes, &Limits::default()).unwrap();
        batcher.push((), &Prepared::new(decoded, scorer.views()).unwrap()).unwrap();
    }
    batcher.flush().unwrap();
    let scores: Vec<Option<f64>> = std::iter::from_fn(|| batcher.pop()).map(|(_, score)| Some(score.score)).collect();
    assert_eq!(scores, bench.column(&trial, &store, "predictions.parquet", "score"));
    assert_eq!(kept.test.unwrap().n, scores.len());
}

#[test]
fn a_training_that_leaves_the_numbers_stops_and_keeps_its_last_epoch() {
    let bench = Bench::new();
    // One step an epoch, untested: the second epoch is the first to see what the step has done.
    let setup = Setup { lr: 1e30, batch_size: 64, test_every: 3, ..setup() };
    let (trial, store) = (bench.trial(&setup), bench.store("store"));
    let error = bench.run(&trial, &store).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { epoch: 2, step: 1, steps: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("the checkpoint of epoch 1 is kept"), "{error}");
    assert_eq!(bench.learned(&trial, &store).into_keys().collect::<Vec<_>>(), ["checkpoint.safetensors"]);
    // The same training, which would go on from that checkpoint.
    let (tested, store) = (bench.trial(&Setup { test_every: 1, ..setup }), bench.store("tested"));
    let error = bench.run(&tested, &store).unwrap_err();
    assert!(matches!(error, TrainError::NoScore { epoch: 1, .. }), "{error:?}");
}

#[test]
fn a_picture_that_cannot_be_read_ends_it_before_it_begins() {
    let bench = Bench::new();
    let (trial, store) = (bench.trial(&setup()), bench.store("store"));
    let bad = &trial.test[0].image;
    let path = bench.dir.path().join("haze").join(bad);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = bench.run(&trial, &store).unwrap_err();
    assert!(matches!(&error, TrainError::Unreadable { count: 1, image, .. } if image == bad), "{error:?}");
    assert!(bench.learned(&trial, &store).is_empty());
    let failed = bench.runner.unreadable(&trial, bench.runtime.handle()).unwrap();
    assert_eq!(failed.iter().map(|(image, _)| *image).collect::<Vec<_>>(), [bad]);
    std::fs::write(&path, bytes).unwrap();
    bench.run(&trial, &store).unwrap();
    // Pictures that were looked at have room for a smaller window.
    let wide = bench.trial(&Setup { views: "sees=both,window=242,stride=64".to_owned(), ..setup() });
    let small = wide.pictures().filter(|picture| picture.scene.as_str() < "s2").count();
    let error = bench.run(&wide, &store).unwrap_err();
    assert!(matches!(&error, TrainError::Unreadable { count, .. } if *count == small && small == 4), "{error:?}");
    let global = bench.trial(&Setup { views: "sees=global".to_owned(), epochs: 1, ..setup() });
    bench.run(&global, &store).unwrap();
}

#[test]
fn another_model_s_trial_and_another_trial_s_checkpoint_are_refused() {
    let bench = Bench::new();
    let (trial, store) = (bench.trial(&setup()), bench.store("store"));
    let mut other = trial.clone();
    other.model.digest = "ab".repeat(32);
    assert!(matches!(bench.run(&other, &store), Err(TrainError::OtherModel { .. })));
    let key = trial.key("checkpoint.safetensors");
    bench.runtime.block_on(store.put(&key, "no checkpoint".into())).unwrap();
    let error = bench.run(&trial, &store).unwrap_err();
    assert!(matches!(&error, TrainError::Checkpoint { key: named, .. } if *named == key), "{error:?}");
}
