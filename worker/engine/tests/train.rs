//! Tests trials of a tiny model on synthetic pictures: resuming from a checkpoint, selecting the best epoch, failing
//! and writing results.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use candle_core::Device;
use dqa_engine::decode::{self, Limits};
use dqa_engine::inference::InferenceSettings;
use dqa_engine::shard::StopFlag;
use dqa_engine::train::{BaseModel, TrainError, TrainingEvent, TrainingResources, TrialRunner};
use dqa_model::{Batcher, ClipWeights, Options, Prepared, PromptMode, Prompts, Scorer};
use dqa_pipelines::dataset::{self, DataSet, Definition};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::train::{
    SceneNames, Select, Setup, Splits, SplitsOptions, Trial, TrialRecord, TrialRecordError, Tune, WeightsDtype,
};
use dqa_testkit::{Picture, hf};
use tokio::runtime::Runtime;

const SCENES: usize = 6;

/// A folder with stores and a data set of two algorithms, and a runner of trials.
struct TrainingFixture {
    dir: tempfile::TempDir,
    runtime: Runtime,
    data: DataSet,
    runner: TrialRunner,
}

impl TrainingFixture {
    fn new() -> TrainingFixture {
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
        let data = runtime.block_on(dataset::load(&read_definition(dir.path()))).unwrap();
        let model = hf::cached("tiny", "tune");
        let base = BaseModel::open(model.to_str().unwrap(), None, 0, true).unwrap();
        TrainingFixture { runner: TrialRunner::new(base, training_resources(1 << 20)), dir, runtime, data }
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

    /// Returns the files of a trial that do not contain times or rates.
    fn reproducible_files(&self, trial: &Trial, store: &Store) -> BTreeMap<String, Vec<u8>> {
        let objects = self.runtime.block_on(store.list_sorted(&format!("trials/{}", trial.name()))).unwrap();
        let is_reproducible = |key: &str| !key.ends_with("trial.json") && !key.ends_with("epochs.parquet");
        let read = |key: String| {
            let bytes = self.runtime.block_on(store.get(&key)).unwrap();
            (key.rsplit('/').next().unwrap().to_owned(), bytes.to_vec())
        };
        objects.into_iter().filter(|object| is_reproducible(&object.key)).map(|object| read(object.key)).collect()
    }

    /// Returns a column of one of the trial's tables.
    fn column(&self, trial: &Trial, store: &Store, file: &str, column: &str) -> Vec<Option<f64>> {
        let bytes = self.runtime.block_on(store.get(&trial.key(file))).unwrap();
        let batches = parquet_file::read(bytes).unwrap();
        let values = batches.iter().flat_map(|batch| {
            batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect::<Vec<_>>()
        });
        values.collect()
    }
}

fn read_definition(dir: &Path) -> Definition {
    dataset::find_definition(dir.join("haze.toml").to_str().unwrap(), Path::new("")).unwrap()
}

/// Returns resources that keep up to `kept_bytes_max` of decoded pictures, of which three take about 1 MiB.
fn training_resources(kept_bytes_max: u64) -> TrainingResources {
    let settings =
        InferenceSettings { batch: Some(8), decode_threads: 2, picture_bytes_max: 8 << 20, limits: Limits::default() };
    TrainingResources {
        device: Device::Cpu,
        device_name: "cpu".to_owned(),
        settings,
        kept_bytes_max,
        stop: StopFlag::default(),
    }
}

/// Returns a small setup: an epoch trains on 8 pictures in two steps, and 4 pictures are for the test.
fn setup() -> Setup {
    Setup { batch_size: 5, epochs: 3, lr: 1e-3, ..Setup::default() }
}

#[test]
fn a_resumed_training_writes_identical_files() {
    let fixture = TrainingFixture::new();
    // The training stops after an epoch, after the first epoch of a selection, and between the last epoch and the
    // outcome.
    for (after, select) in [(2, Select::Last), (1, Select::BestOnTest), (3, Select::BestOnValidation)] {
        let (whole, resumed) = (fixture.store(&format!("whole{after}")), fixture.store(&format!("resumed{after}")));
        let trial = fixture.trial(&Setup { select, validation_share: 0.5, ..setup() });
        let key = trial.key("checkpoint.safetensors");
        let copy_checkpoint = async || resumed.put(&key, whole.get(&key).await.unwrap()).await.unwrap();
        let record = fixture.runner.run(&trial, &whole, fixture.runtime.handle(), &mut |event| match event {
            TrainingEvent::Epoch(row) if row.epoch == after => fixture.runtime.block_on(copy_checkpoint()),
            _ => {}
        });
        assert!(record.unwrap().is_complete());
        let mut epochs_before = None;
        let second = fixture.runner.run(&trial, &resumed, fixture.runtime.handle(), &mut |event| {
            if let TrainingEvent::Begun { epochs_done, .. } = event {
                epochs_before = Some(epochs_done);
            }
        });
        assert_eq!(epochs_before, Some(after));
        assert_eq!(fixture.reproducible_files(&trial, &resumed), fixture.reproducible_files(&trial, &whole));
        let losses = |store| fixture.column(&trial, store, "epochs.parquet", "loss");
        assert_eq!(losses(&resumed), losses(&whole));
        assert!(
            !fixture.reproducible_files(&trial, &resumed).contains_key("checkpoint.safetensors"),
            "the checkpoint is deleted at the end"
        );
        // A complete trial is not run again.
        let third = fixture.runner.run(&trial, &resumed, fixture.runtime.handle(), &mut |event| panic!("{event:?}"));
        assert_eq!(third.unwrap(), second.unwrap());
    }
}

#[test]
fn a_training_that_ended_within_an_epoch_resumes_there() {
    let mut fixture = TrainingFixture::new();
    fixture.runner.set_checkpoint_interval(Duration::ZERO);
    let trial = fixture.trial(&Setup { select: Select::BestOnTest, ..setup() });
    let (whole, resumed) = (fixture.store("whole"), fixture.store("resumed"));
    let key = trial.key("checkpoint.safetensors");
    let copy = async || resumed.put(&key, whole.get(&key).await.unwrap()).await.unwrap();
    // The first of the epoch's two steps is in the checkpoint when the second is made.
    let record = fixture.runner.run(&trial, &whole, fixture.runtime.handle(), &mut |event| {
        if let TrainingEvent::Step { epoch: 2, step: 2, .. } = event {
            fixture.runtime.block_on(copy());
        }
    });
    assert!(record.unwrap().is_complete());
    let mut steps = Vec::new();
    let second = fixture.runner.run(&trial, &resumed, fixture.runtime.handle(), &mut |event| {
        if let TrainingEvent::Step { epoch, step, .. } = event {
            steps.push((epoch, step));
        }
    });
    second.unwrap();
    assert_eq!(steps, [(2, 2), (3, 1), (3, 2)]);
    assert_eq!(fixture.reproducible_files(&trial, &resumed), fixture.reproducible_files(&trial, &whole));
    for column in ["loss", "train_srcc", "gradient_norm_max"] {
        let values = |store| fixture.column(&trial, store, "epochs.parquet", column);
        assert_eq!(values(&resumed), values(&whole), "{column}");
    }
}

#[test]
fn of_two_attempts_the_later_one_keeps_the_trial() {
    let mut fixture = TrainingFixture::new();
    let (trial, store) = (fixture.trial(&setup()), fixture.store("store"));
    fixture.runner.set_attempt(7, StopFlag::default());
    let take_over = async |attempt| {
        let mut record = TrialRecord::find(&store, &trial.name()).await.unwrap().unwrap();
        record.claim(&store, Some(attempt)).await
    };
    let superseded = fixture.runner.run(&trial, &store, fixture.runtime.handle(), &mut |event| match event {
        TrainingEvent::Epoch(row) if row.epoch == 1 => fixture.runtime.block_on(take_over(8)).unwrap(),
        _ => {}
    });
    let is_superseded = |error: &TrainError| matches!(error, TrainError::Record(TrialRecordError::Superseded { .. }));
    assert!(is_superseded(&superseded.unwrap_err()));
    assert!(matches!(fixture.runtime.block_on(take_over(7)), Err(TrialRecordError::Superseded { .. })));
    // The later attempt goes on from the first epoch, and a stop ends it with a checkpoint.
    let stop = StopFlag::default();
    fixture.runner.set_attempt(9, stop.clone());
    let mut epochs = Vec::new();
    let stopped = fixture.runner.run(&trial, &store, fixture.runtime.handle(), &mut |event| {
        if let TrainingEvent::Epoch(row) = event {
            epochs.push(row.epoch);
            stop.stop();
        }
    });
    assert!(matches!(stopped, Err(TrainError::Stopped)));
    fixture.runner.set_attempt(10, StopFlag::default());
    let record = fixture.run(&trial, &store).unwrap();
    assert_eq!((epochs, record.attempt, record.kept.unwrap().epoch), (vec![2], Some(10), 3));
}

#[test]
fn cache_size_and_decode_threads_do_not_change_results() {
    let fixture = TrainingFixture::new();
    let trial = fixture.trial(&setup());
    let (small_cache, large_cache) = (fixture.store("small_cache"), fixture.store("large_cache"));
    fixture.run(&trial, &small_cache).unwrap();
    let mut resources = training_resources(1 << 30);
    resources.settings.decode_threads = 5;
    let runner = TrialRunner::new(fixture.runner.base().clone(), resources);
    runner.run(&trial, &large_cache, fixture.runtime.handle(), &mut |_| ()).unwrap();
    assert_eq!(fixture.reproducible_files(&trial, &small_cache), fixture.reproducible_files(&trial, &large_cache));
    let other = fixture.trial(&Setup { seed: 1, ..setup() });
    fixture.run(&other, &large_cache).unwrap();
    assert_ne!(fixture.reproducible_files(&other, &large_cache), fixture.reproducible_files(&trial, &large_cache));
}

#[test]
fn validation_selects_the_epoch_without_the_test_pictures() {
    let fixture = TrainingFixture::new();
    let setup = Setup { select: Select::BestOnValidation, validation_share: 0.5, lr: 1e-2, ..setup() };
    let trial = fixture.trial(&setup);
    let mut other = trial.clone();
    for picture in &mut other.test {
        picture.mos = 100.0 - picture.mos;
        picture.target = 1.0 - picture.target;
    }
    let store = fixture.store("store");
    let (one, two) = (fixture.run(&trial, &store).unwrap(), fixture.run(&other, &store).unwrap());
    let (one, two) = (one.kept.unwrap(), two.kept.unwrap());
    assert_eq!((one.epoch, &one.validation, &one.train), (two.epoch, &two.validation, &two.train));
    assert_ne!(one.test, two.test);
    let prompts = |trial| fixture.reproducible_files(trial, &store).remove("prompts.safetensors").unwrap();
    assert_eq!(prompts(&trial), prompts(&other));
}

#[test]
fn the_best_epoch_is_kept_and_its_test_is_reported() {
    let fixture = TrainingFixture::new();
    let setup = Setup { select: Select::BestOnTest, lr: 3e-3, ..setup() };
    let trial = fixture.trial(&setup);
    let store = fixture.store("store");
    let kept = fixture.run(&trial, &store).unwrap().kept.unwrap();
    let srccs = fixture.column(&trial, &store, "epochs.parquet", "held_out_srcc");
    let best = srccs.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = srccs.iter().position(|srcc| *srcc == Some(best)).unwrap();
    assert_eq!((kept.epoch as usize, kept.test.unwrap().srcc), (first + 1, Some(best)));
    // A training that ends with that epoch has the same tensors.
    let short = fixture.trial(&Setup { epochs: kept.epoch, select: Select::Last, ..setup });
    fixture.run(&short, &store).unwrap();
    // The headers differ, because they also record which scenes selected the epoch.
    let tensors = |trial| {
        let file = fixture.reproducible_files(trial, &store).remove("prompts.safetensors").unwrap();
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        file[8 + header..].to_vec()
    };
    assert!(tensors(&trial) == tensors(&short));
}

#[test]
fn the_written_model_reproduces_the_test_scores() {
    let fixture = TrainingFixture::new();
    let setup = Setup { tune: Tune::All, weights_dtype: WeightsDtype::F16, epochs: 1, ..setup() };
    let (trial, store) = (fixture.trial(&setup), fixture.store("store"));
    let kept = fixture.run(&trial, &store).unwrap().kept.unwrap();
    let folder = fixture.dir.path().join("store").join(trial.key("").trim_end_matches('/'));
    let weights = ClipWeights::open(&folder).unwrap();
    let prompts = Prompts::open(&folder.join("prompts.safetensors"), weights.config()).unwrap();
    let scorer = Scorer::new(&weights, &PromptMode::Learned(prompts), &Options::default()).unwrap();
    let scorer = std::sync::Arc::new(scorer);
    let mut batcher = Batcher::new(scorer.clone(), 8).unwrap();
    for picture in &trial.test {
        let bytes = std::fs::read(fixture.dir.path().join("haze").join(&picture.image)).unwrap();
        let decoded = decode::decode(&bytes, &Limits::default()).unwrap();
        batcher.push((), &Prepared::new(decoded, scorer.views()).unwrap()).unwrap();
    }
    batcher.flush().unwrap();
    let scores: Vec<Option<f64>> = std::iter::from_fn(|| batcher.pop()).map(|(_, score)| Some(score.score)).collect();
    assert_eq!(scores, fixture.column(&trial, &store, "predictions.parquet", "score"));
    assert_eq!(kept.test.unwrap().n, scores.len());
}

#[test]
fn a_diverging_training_fails_and_keeps_its_last_checkpoint() {
    let fixture = TrainingFixture::new();
    // There is one step per epoch and no test, so the divergence is first visible in the second epoch.
    let setup = Setup { lr: 1e30, batch_size: 64, test_every: 3, ..setup() };
    let (trial, store) = (fixture.trial(&setup), fixture.store("store"));
    let error = fixture.run(&trial, &store).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { epoch: 2, step: 1, steps: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("the checkpoint of epoch 1 is kept"), "{error}");
    assert_eq!(fixture.reproducible_files(&trial, &store).into_keys().collect::<Vec<_>>(), ["checkpoint.safetensors"]);
    // This is the same training, in another store because it would resume from that checkpoint.
    let (tested, store) = (fixture.trial(&Setup { test_every: 1, ..setup }), fixture.store("tested"));
    let error = fixture.run(&tested, &store).unwrap_err();
    assert!(matches!(error, TrainError::NoScore { epoch: 1, .. }), "{error:?}");
}

#[test]
fn an_unreadable_picture_fails_the_trial_before_training() {
    let fixture = TrainingFixture::new();
    let (trial, store) = (fixture.trial(&setup()), fixture.store("store"));
    let bad = &trial.test[0].image;
    let path = fixture.dir.path().join("haze").join(bad);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = fixture.run(&trial, &store).unwrap_err();
    assert!(matches!(&error, TrainError::Unreadable { count: 1, image, .. } if image == bad), "{error:?}");
    assert!(fixture.reproducible_files(&trial, &store).is_empty());
    let failed = fixture.runner.unreadable(&trial, fixture.runtime.handle()).unwrap();
    assert_eq!(failed.iter().map(|(image, _)| *image).collect::<Vec<_>>(), [bad]);
    std::fs::write(&path, bytes).unwrap();
    fixture.run(&trial, &store).unwrap();
    // These windows of 242 pixels do not fit into the narrowest pictures.
    let wide = fixture.trial(&Setup { views: "sees=both,window=242,stride=64".to_owned(), ..setup() });
    let small = wide.pictures().filter(|picture| picture.scene.as_str() < "s2").count();
    let error = fixture.run(&wide, &store).unwrap_err();
    assert!(matches!(&error, TrainError::Unreadable { count, .. } if *count == small && small == 4), "{error:?}");
    let global = fixture.trial(&Setup { views: "sees=global".to_owned(), epochs: 1, ..setup() });
    fixture.run(&global, &store).unwrap();
}

#[test]
fn trials_of_other_models_and_invalid_checkpoints_are_refused() {
    let fixture = TrainingFixture::new();
    let (trial, store) = (fixture.trial(&setup()), fixture.store("store"));
    let mut other = trial.clone();
    other.model.digest = "ab".repeat(32);
    assert!(matches!(fixture.run(&other, &store), Err(TrainError::OtherModel { .. })));
    let key = trial.key("checkpoint.safetensors");
    fixture.runtime.block_on(store.put(&key, "no checkpoint".into())).unwrap();
    let error = fixture.run(&trial, &store).unwrap_err();
    assert!(matches!(&error, TrainError::Checkpoint { key: named, .. } if *named == key), "{error:?}");
}
