//! Settings of a training: those of a file, overridden by flags. There is one flag for each key of `Setup`.

use std::path::PathBuf;

use anyhow::Context;
use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use dqa_model::Views;
use dqa_pipelines::train::{Init, Schedule, Select, Setup, Tune, WeightsDtype};
use dqa_service::program::help::headings;

/// Settings of a training. A flag wins over the file, and the file over the authors' protocol.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SetupArgs {
    /// TOML file with values for any of these settings.
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_SETUP", value_name = "FILE")]
    setup: Option<PathBuf>,

    /// What learns: text prompts, visual prompts, prompts (both: CLIP-DQA), vision (the visual tower too), or all
    /// [default: prompts].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_TUNE", value_name = "WHAT", value_parser = words::<Tune>(Tune::WORDS), hide_possible_values = true)]
    tune: Option<Tune>,

    /// Train without prompts (plain sentences); needs --tune all.
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_NO_PROMPTS", value_parser = BoolishValueParser::new(), conflicts_with_all = ["text_depth", "visual_depth"])]
    no_prompts: bool,

    /// Number of text prompts in a layer [default: 8].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_TEXT_LEN", value_name = "N")]
    text_len: Option<u32>,

    /// Text layers with prompts; 0 for none [default: all].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_TEXT_DEPTH", value_name = "N")]
    text_depth: Option<u32>,

    /// Number of visual prompts in a layer [default: 8].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_VISUAL_LEN", value_name = "N")]
    visual_len: Option<u32>,

    /// Visual layers with prompts; 0 for none [default: all].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_VISUAL_DEPTH", value_name = "N")]
    visual_depth: Option<u32>,

    /// New prompts: random, or 'words:a photo of' [default: random].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_INIT", value_name = "VALUES")]
    init: Option<Init>,

    /// Sentences for bad and good [default: bad photo.,good photo.].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_WORDS", value_delimiter = ',', num_args = 1, value_name = "BAD,GOOD")]
    words: Option<Vec<String>>,

    /// Views, as of submit; in training one random window a picture.
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_VIEWS")]
    views: Option<Views>,

    /// Adam's learning rate [default: 1e-4].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_LR", value_name = "RATE")]
    lr: Option<f64>,

    /// Factor of --lr for the patch embedding [default: 1].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_PATCH_LR", value_name = "SHARE")]
    patch_lr: Option<f64>,

    /// Learning rate: constant, or cosine (to 0) [default: constant].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_SCHEDULE", value_name = "WORD", value_parser = words::<Schedule>(Schedule::WORDS), hide_possible_values = true)]
    schedule: Option<Schedule>,

    /// Epochs in which the learning rate rises [default: 0].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_WARMUP_EPOCHS", value_name = "N")]
    warmup_epochs: Option<u32>,

    /// Number of pictures in a step [default: 64].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_BATCH_SIZE", value_name = "N")]
    batch_size: Option<u32>,

    /// Epochs; each sees every picture once [default: 25].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_EPOCHS", value_name = "N")]
    epochs: Option<u32>,

    /// Epoch to keep: last, best-on-validation (scenes held out), or best-on-test (optimistic: the test chooses)
    /// [default: last].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_SELECT", value_name = "EPOCH", value_parser = words::<Select>(Select::WORDS), hide_possible_values = true)]
    select: Option<Select>,

    /// Share of scenes to validate on [default: 0.2].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_VALIDATION_SHARE", value_name = "SHARE")]
    validation_share: Option<f64>,

    /// Algorithms to leave out of the training, but test on.
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_WITHOUT", value_delimiter = ',', value_name = "NAMES")]
    without: Option<Vec<String>>,

    /// Smallest and largest possible label, if the data set does not define them.
    #[arg(
        long,
        env = "DQA_LABEL_RANGE",
        value_delimiter = ',',
        num_args = 1,
        allow_hyphen_values = true,
        value_name = "LOW,HIGH"
    )]
    label_range: Option<Vec<f64>>,

    /// Epochs from one test to the next [default: 1].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_TEST_EVERY", value_name = "N")]
    test_every: Option<u32>,

    /// Seed [default: 0].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_TRAIN_SEED", value_name = "N")]
    seed: Option<u64>,

    /// Type of written weights: f32 or f16 [default: f32].
    #[arg(long, help_heading = headings::TRAINING, env = "DQA_WEIGHTS_DTYPE", value_name = "CLASS", value_parser = words::<WeightsDtype>(WeightsDtype::WORDS), hide_possible_values = true)]
    weights_dtype: Option<WeightsDtype>,
}

/// Parses one of some words.
fn words<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

impl SetupArgs {
    /// Reads the settings.
    pub(super) fn read(&self) -> anyhow::Result<Setup> {
        let mut setup = match &self.setup {
            None => Setup::default(),
            Some(file) => {
                let origin = file.display().to_string();
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the setup {origin}"))?;
                Setup::parse(&text, &origin)?
            }
        };
        self.override_settings(&mut setup)?;
        setup.check()?;
        Ok(setup)
    }

    fn override_settings(&self, setup: &mut Setup) -> anyhow::Result<()> {
        let flags = self.clone();
        set(&mut setup.tune, flags.tune);
        set(&mut setup.text_len, flags.text_len);
        set(&mut setup.text_depth, flags.text_depth.map(Some));
        set(&mut setup.visual_len, flags.visual_len);
        set(&mut setup.visual_depth, flags.visual_depth.map(Some));
        if flags.no_prompts {
            (setup.text_depth, setup.visual_depth) = (Some(0), Some(0));
        }
        set(&mut setup.init, flags.init);
        set(&mut setup.words, flags.words.map(|words| pair("--words", words)).transpose()?);
        set(&mut setup.views, flags.views.map(|views| views.to_string()));
        set(&mut setup.lr, flags.lr);
        set(&mut setup.patch_lr, flags.patch_lr);
        set(&mut setup.schedule, flags.schedule);
        set(&mut setup.warmup_epochs, flags.warmup_epochs);
        set(&mut setup.batch_size, flags.batch_size);
        set(&mut setup.epochs, flags.epochs);
        set(&mut setup.select, flags.select);
        set(&mut setup.validation_share, flags.validation_share);
        set(&mut setup.without, flags.without);
        let range = flags.label_range.map(|range| pair("--label-range", range)).transpose()?;
        set(&mut setup.label_range, range.map(Some));
        set(&mut setup.test_every, flags.test_every);
        set(&mut setup.seed, flags.seed);
        set(&mut setup.weights_dtype, flags.weights_dtype);
        // In canonical form, because the views are in the names of trials.
        setup.views = setup.views.parse::<Views>().context("invalid `views` in the setup")?.to_string();
        Ok(())
    }
}

fn set<T>(setting: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *setting = value;
    }
}

fn pair<T>(flag: &str, values: Vec<T>) -> anyhow::Result<[T; 2]> {
    let count = values.len();
    values.try_into().map_err(|_| anyhow::anyhow!("{flag} takes two values joined by a comma, not {count}"))
}
