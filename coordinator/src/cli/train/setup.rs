//! The training's settings: a file's, and over them those of flags. One flag for each key of `Setup`.

use std::path::PathBuf;

use anyhow::Context;
use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use dqa_model::Views;
use dqa_pipelines::train::{Init, Schedule, Select, Setup, Tune, WeightsDtype};

/// How a training learns. A flag wins over the file, and that over the authors' protocol.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Training")]
pub(super) struct SetupArgs {
    /// A TOML file with values for any of the settings below, as `epochs = 25`.
    #[arg(long, env = "DQA_SETUP", value_name = "FILE")]
    setup: Option<PathBuf>,

    /// What learns: text, visual, prompts (both: CLIP-DQA), vision (the visual tower's weights and prompts), or all [default:
    /// prompts].
    #[arg(long, env = "DQA_TUNE", value_parser = words::<Tune>(Tune::WORDS), hide_possible_values = true)]
    tune: Option<Tune>,

    /// No prompts at all: the plain sentences. With --tune all.
    #[arg(long, env = "DQA_NO_PROMPTS", value_parser = BoolishValueParser::new(), conflicts_with_all = ["text_depth", "visual_depth"])]
    no_prompts: bool,

    /// Text prompts in a layer [default: 8].
    #[arg(long, env = "DQA_TEXT_LEN", value_name = "N")]
    text_len: Option<u32>,

    /// Layers of the text tower with prompts, from the first; 0: none [default: all, where text prompts learn].
    #[arg(long, env = "DQA_TEXT_DEPTH", value_name = "N")]
    text_depth: Option<u32>,

    /// Visual prompts in a layer [default: 8].
    #[arg(long, env = "DQA_VISUAL_LEN", value_name = "N")]
    visual_len: Option<u32>,

    /// Layers of the visual tower with prompts, from the first; 0: none [default: all, where visual prompts learn].
    #[arg(long, env = "DQA_VISUAL_DEPTH", value_name = "N")]
    visual_depth: Option<u32>,

    /// What new prompts begin as: random, or words: and words as in 'words:a photo of' [default: random].
    #[arg(long, env = "DQA_INIT")]
    init: Option<Init>,

    /// The sentences for a bad and a good picture, joined by a comma [default: bad photo.,good photo.].
    #[arg(long, env = "DQA_WORDS", value_delimiter = ',', num_args = 1, value_name = "BAD,GOOD")]
    words: Option<Vec<String>>,

    /// What the model looks at, in training and in tests: as --views of submit; in training one random window a picture.
    #[arg(long, env = "DQA_VIEWS")]
    views: Option<Views>,

    /// Adam's learning rate [default: 1e-4].
    #[arg(long, env = "DQA_LR", value_name = "RATE")]
    lr: Option<f64>,

    /// The share of the learning rate at which the patch embedding learns, where it does; 0.1 for a new model [default: 1].
    #[arg(long, env = "DQA_PATCH_LR", value_name = "SHARE")]
    patch_lr: Option<f64>,

    /// How the learning rate goes on: constant or cosine (down to 0) [default: constant].
    #[arg(long, env = "DQA_SCHEDULE", value_parser = words::<Schedule>(Schedule::WORDS), hide_possible_values = true)]
    schedule: Option<Schedule>,

    /// Epochs in which the learning rate rises [default: 0].
    #[arg(long, env = "DQA_WARMUP_EPOCHS", value_name = "N")]
    warmup_epochs: Option<u32>,

    /// Pictures of a step [default: 64].
    #[arg(long, env = "DQA_BATCH_SIZE", value_name = "N")]
    batch_size: Option<u32>,

    /// Times that each picture is seen [default: 25].
    #[arg(long, env = "DQA_EPOCHS", value_name = "N")]
    epochs: Option<u32>,

    /// The epoch that is kept: last, best-on-validation (on scenes held out of the training split), or best-on-test (the
    /// authors': optimistic, for the test has chosen) [default: last].
    #[arg(long, env = "DQA_SELECT", value_parser = words::<Select>(Select::WORDS), hide_possible_values = true)]
    select: Option<Select>,

    /// Of the training scenes: the share that validates, with best-on-validation [default: 0.2].
    #[arg(long, env = "DQA_VALIDATION_SHARE", value_name = "SHARE")]
    validation_share: Option<f64>,

    /// Algorithms whose pictures are not trained on, joined by commas; they are tested on.
    #[arg(long, env = "DQA_WITHOUT", value_delimiter = ',', value_name = "NAMES")]
    without: Option<Vec<String>>,

    /// The least and the most that a label can be, where the data set does not say.
    #[arg(
        long,
        env = "DQA_LABEL_RANGE",
        value_delimiter = ',',
        num_args = 1,
        allow_hyphen_values = true,
        value_name = "LOW,HIGH"
    )]
    label_range: Option<Vec<f64>>,

    /// Epochs from one test to the next; the last is always tested [default: 1].
    #[arg(long, env = "DQA_TEST_EVERY", value_name = "N")]
    test_every: Option<u32>,

    /// Of all chance in the training: the same seed, the same weights [default: 0].
    #[arg(long, env = "DQA_SEED", value_name = "N")]
    seed: Option<u64>,

    /// As what a trained model's weights are written: f32 or f16 [default: f32].
    #[arg(long, env = "DQA_WEIGHTS_DTYPE", value_parser = words::<WeightsDtype>(WeightsDtype::WORDS), hide_possible_values = true)]
    weights_dtype: Option<WeightsDtype>,
}

/// A value that is one of some words.
fn words<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

impl SetupArgs {
    pub(super) fn setup(&self) -> anyhow::Result<Setup> {
        let mut setup = match &self.setup {
            None => Setup::default(),
            Some(file) => {
                let origin = file.display().to_string();
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the setup {origin}"))?;
                Setup::parse(&text, &origin)?
            }
        };
        self.put_in(&mut setup)?;
        setup.check()?;
        Ok(setup)
    }

    fn put_in(&self, setup: &mut Setup) -> anyhow::Result<()> {
        let given = self.clone();
        set(&mut setup.tune, given.tune);
        set(&mut setup.text_len, given.text_len);
        set(&mut setup.text_depth, given.text_depth.map(Some));
        set(&mut setup.visual_len, given.visual_len);
        set(&mut setup.visual_depth, given.visual_depth.map(Some));
        if given.no_prompts {
            (setup.text_depth, setup.visual_depth) = (Some(0), Some(0));
        }
        set(&mut setup.init, given.init);
        set(&mut setup.words, given.words.map(|words| pair("--words", words)).transpose()?);
        set(&mut setup.views, given.views.map(|views| views.to_string()));
        set(&mut setup.lr, given.lr);
        set(&mut setup.patch_lr, given.patch_lr);
        set(&mut setup.schedule, given.schedule);
        set(&mut setup.warmup_epochs, given.warmup_epochs);
        set(&mut setup.batch_size, given.batch_size);
        set(&mut setup.epochs, given.epochs);
        set(&mut setup.select, given.select);
        set(&mut setup.validation_share, given.validation_share);
        set(&mut setup.without, given.without);
        let range = given.label_range.map(|range| pair("--label-range", range)).transpose()?;
        set(&mut setup.label_range, range.map(Some));
        set(&mut setup.test_every, given.test_every);
        set(&mut setup.seed, given.seed);
        set(&mut setup.weights_dtype, given.weights_dtype);
        // One text for one meaning: it is in trials' names.
        setup.views = setup.views.parse::<Views>().context("the setup's `views` mean nothing")?.to_string();
        Ok(())
    }
}

fn set<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

fn pair<T>(flag: &str, values: Vec<T>) -> anyhow::Result<[T; 2]> {
    let count = values.len();
    values.try_into().map_err(|_| anyhow::anyhow!("{flag} takes two values joined by a comma, not {count}"))
}
