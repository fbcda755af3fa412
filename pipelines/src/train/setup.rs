//! The settings of a training: everything except the pictures, the model and the split that determines the outcome. The
//! defaults are the protocol of the CLIP-DQA authors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The settings of a training, as TOML in which every key is optional.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// Which parameters are trained.
    pub tune: Tune,
    /// Text prompts per layer.
    pub text_len: u32,
    /// Number of layers of the text tower that have prompts, counted from the first. None: all layers if text prompts
    /// are trained, else none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_depth: Option<u32>,
    /// Visual prompts per layer.
    pub visual_len: u32,
    /// Number of layers of the visual tower that have prompts, counted from the first. None: all layers if visual
    /// prompts are trained, else none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visual_depth: Option<u32>,
    /// The initial values of new prompts.
    pub init: Init,
    /// The sentences for a bad and for a good picture.
    pub words: [String; 2],
    /// The views of a picture, in the syntax of `dqa_model::Views`. If these include windows, training uses one random
    /// window and tests use all windows.
    pub views: String,
    /// The maximum learning rate of Adam.
    pub lr: f64,
    /// The learning rate of the patch embedding relative to `lr`, if the patch embedding is trained.
    pub patch_lr: f64,
    /// How the learning rate changes after the warm-up.
    pub schedule: Schedule,
    /// Epochs of linear warm-up to the maximum learning rate, before the schedule begins.
    pub warmup_epochs: u32,
    /// Pictures per step.
    pub batch_size: u32,
    /// Passes over the training pictures.
    pub epochs: u32,
    /// Which epoch's state is kept.
    pub select: Select,
    /// The share of the training scenes that is used for validation instead, if the epoch is selected on validation
    /// scenes.
    pub validation_share: f64,
    /// Algorithms whose pictures are excluded from training, but not from the test.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// The lowest and the highest possible label, higher is better. Used if the data set does not define the range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_range: Option<[f64; 2]>,
    /// Number of epochs between tests on held-out pictures. The last epoch is always tested.
    pub test_every: u32,
    /// Seed of all random draws of the training: new prompts, new weights, the order of pictures, windows, validation
    /// scenes.
    pub seed: u64,
    /// The number format of CLIP's weights in the output file, if they are trained.
    pub weights_dtype: WeightsDtype,
}

impl Default for Setup {
    /// Returns the authors' protocol, except for the epoch that is kept: the authors keep the epoch that is best on the test.
    fn default() -> Setup {
        Setup {
            tune: Tune::Prompts,
            text_len: 8,
            text_depth: None,
            visual_len: 8,
            visual_depth: None,
            init: Init::Random,
            words: ["bad photo.".to_owned(), "good photo.".to_owned()],
            views: "sees=both,window=224,stride=64".to_owned(),
            lr: 1e-4,
            patch_lr: 1.0,
            schedule: Schedule::Constant,
            warmup_epochs: 0,
            batch_size: 64,
            epochs: 25,
            select: Select::Last,
            validation_share: 0.2,
            without: Vec::new(),
            label_range: None,
            test_every: 1,
            seed: 0,
            weights_dtype: WeightsDtype::F32,
        }
    }
}

/// Defines an enum whose variants are written as one word, the same in TOML, on the command line and in tables.
macro_rules! word_enum {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $type {
            /// All variants as they are written.
            pub const WORDS: &[&str] = &[$($word),*];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($type::$variant => $word),* })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<$type, String> {
                match text {
                    $($word => Ok($type::$variant),)*
                    _ => Err(format!("expected one of {}", $type::WORDS.join(", "))),
                }
            }
        }
    };
}

word_enum!(
    /// Which parameters are trained.
    Tune {
        /// The text prompts and their linear layers.
        Text = "text",
        /// The visual prompts and their linear layers.
        Visual = "visual",
        /// The prompts of both towers and their linear layers, as in CLIP-DQA.
        Prompts = "prompts",
        /// The weights of the visual tower, the temperature and the visual prompts.
        Vision = "vision",
        /// All of CLIP's weights and all prompts.
        All = "all",
    }
);

impl Tune {
    /// Returns whether CLIP's own weights are trained.
    pub fn changes_weights(self) -> bool {
        matches!(self, Tune::Vision | Tune::All)
    }

    /// Returns whether the prompts of a tower are trained. `tower` is `Text` or `Visual`.
    fn trains_prompts_of(self, tower: Tune) -> bool {
        self == tower || matches!(self, Tune::Prompts | Tune::All) || (self, tower) == (Tune::Vision, Tune::Visual)
    }
}

word_enum!(
    /// How the learning rate changes after the warm-up.
    Schedule {
        /// It stays constant, as in the authors' protocol.
        Constant = "constant",
        /// It decays to 0 along half a cosine.
        Cosine = "cosine",
    }
);
word_enum!(
    /// Which epoch's state is kept.
    Select {
        /// The last epoch: no result influences the choice.
        Last = "last",
        /// The epoch with the highest SRCC on training scenes that are held out for validation.
        BestOnValidation = "best-on-validation",
        /// The epoch with the highest SRCC on the test, as the authors do. The result is optimistic, because the test
        /// chose the epoch.
        BestOnTest = "best-on-test",
    }
);
word_enum!(
    /// The number format of written weights.
    WeightsDtype {
        /// As trained.
        F32 = "f32",
        /// Half the size, with rounded values.
        F16 = "f16",
    }
);

impl Select {
    /// Returns the rule with a warning if its results are optimistic.
    pub fn described(self) -> &'static str {
        match self {
            Select::Last => "last epoch",
            Select::BestOnValidation => "best epoch on validation scenes",
            Select::BestOnTest => "best epoch ON THE TEST: optimistic, the test chose it",
        }
    }
}

/// The initial values of new prompts: `random`, or `words:` followed by words. Given prompts keep their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Init {
    /// Normally distributed values.
    #[default]
    Random,
    /// Text prompts start as the embeddings of these words, visual prompts as random values.
    Words(String),
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Init::Random => f.pad("random"),
            Init::Words(words) => write!(f, "words:{words}"),
        }
    }
}

impl FromStr for Init {
    type Err = String;

    fn from_str(text: &str) -> Result<Init, String> {
        match text.split_once(':') {
            None if text == "random" => Ok(Init::Random),
            Some(("words", words)) if !words.trim().is_empty() => Ok(Init::Words(words.to_owned())),
            _ => Err("expected `random`, or `words:` and words as in `words:a photo of`".to_owned()),
        }
    }
}

impl Serialize for Init {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Init, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why settings are invalid.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The text is not TOML, has an unknown key or a value of the wrong type.
    #[error("{origin} is not a valid training setup")]
    Toml {
        /// The file.
        origin: String,
        /// The parser's error with its position.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value is invalid.
    #[error("invalid value {value} of the setup's `{key}`: {needed}")]
    Value {
        /// The key of the value.
        key: &'static str,
        /// The value.
        value: String,
        /// What is expected.
        needed: &'static str,
    },
}

impl Setup {
    /// Parses settings from TOML. `origin` names the source in errors.
    ///
    /// # Errors
    /// The text is not TOML, has an unknown key or an invalid value.
    pub fn parse(text: &str, origin: &str) -> Result<Setup, SetupError> {
        let invalid = |source| SetupError::Toml { origin: origin.to_owned(), source: Box::new(source) };
        let setup: Setup = toml::from_str(text).map_err(invalid)?;
        setup.check()?;
        Ok(setup)
    }

    /// Returns the settings as TOML with every key, for records and tables.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a setup has text for keys")
    }

    /// Checks the settings as far as is possible without a model.
    ///
    /// # Errors
    /// The first key whose value is invalid.
    pub fn check(&self) -> Result<(), SetupError> {
        let invalid =
            |key, value: &dyn fmt::Display, needed| Err(SetupError::Value { key, value: value.to_string(), needed });
        let at_least_1 = [("batch_size", self.batch_size), ("epochs", self.epochs), ("test_every", self.test_every)];
        for (key, value) in at_least_1 {
            if value == 0 {
                return invalid(key, &value, "expected a whole number of at least 1");
            }
        }
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return invalid("lr", &self.lr, "expected a number above 0");
        }
        if !(0.0..=1.0).contains(&self.patch_lr) {
            return invalid("patch_lr", &self.patch_lr, "expected a share of the learning rate, 0 to 1");
        }
        if self.warmup_epochs >= self.epochs {
            return invalid("warmup_epochs", &self.warmup_epochs, "expected fewer warm-up epochs than epochs");
        }
        if !(self.validation_share > 0.0 && self.validation_share < 1.0) {
            return invalid("validation_share", &self.validation_share, "expected a share between 0 and 1");
        }
        if self.tune == Tune::Text && self.text_depth == Some(0) {
            return invalid("text_depth", &0, "text prompts are trained, so there must be some");
        }
        if self.tune == Tune::Visual && self.visual_depth == Some(0) {
            return invalid("visual_depth", &0, "visual prompts are trained, so there must be some");
        }
        if self.tune == Tune::Prompts && (self.text_depth, self.visual_depth) == (Some(0), Some(0)) {
            return invalid("text_depth", &0, "prompts are trained, so one tower must have some");
        }
        // A tower has at least one layer, so depths for one layer show whether it has prompts, whatever the model.
        let (text_depth, visual_depth) = self.depths(1, 1);
        for (key, length, depth) in
            [("text_len", self.text_len, text_depth), ("visual_len", self.visual_len, visual_depth)]
        {
            if length == 0 && depth > 0 {
                return invalid(key, &length, "expected at least 1; a tower without prompts has depth 0");
            }
        }
        if text_depth + visual_depth == 0 && self.words != Setup::default().words {
            let words = self.words.join(",");
            return invalid("words", &words, "without prompts the sentences are `bad photo.` and `good photo.`");
        }
        if text_depth == 0 && self.init != Init::Random {
            return invalid("init", &self.init, "there are no text prompts that could start as words");
        }
        if let Some([low, high]) = self.label_range.filter(|[low, high]| !(low < high && (high - low).is_finite())) {
            return invalid("label_range", &format!("{low} to {high}"), "expected two numbers, the lower one first");
        }
        match self.words.iter().find(|words| words.trim().is_empty()) {
            Some(words) => invalid("words", words, "expected two sentences, for a bad and a good picture"),
            None => Ok(()),
        }
    }

    /// Returns the numbers of layers with prompts in the text and the visual tower, given the numbers of layers of the
    /// towers.
    pub fn depths(&self, text_layers: usize, visual_layers: usize) -> (usize, usize) {
        let depth = |given: Option<u32>, tower: Tune, layers: usize| match given {
            Some(depth) => depth as usize,
            None if self.tune.trains_prompts_of(tower) => layers,
            None => 0,
        };
        (depth(self.text_depth, Tune::Text, text_layers), depth(self.visual_depth, Tune::Visual, visual_layers))
    }

    /// Returns the learning rate of a step. Steps are counted from 0 over all epochs.
    pub fn learning_rate_at(&self, step: u64, steps_per_epoch: u64) -> f64 {
        let warmup = u64::from(self.warmup_epochs) * steps_per_epoch;
        if step < warmup {
            return self.lr * (step + 1) as f64 / warmup as f64;
        }
        match self.schedule {
            Schedule::Constant => self.lr,
            Schedule::Cosine => {
                let (done, all) = (step - warmup, u64::from(self.epochs) * steps_per_epoch - warmup);
                self.lr * 0.5 * (1.0 + (std::f64::consts::PI * done as f64 / all as f64).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_the_authors_protocol() {
        let setup = Setup::parse("", "memory").unwrap();
        assert_eq!(setup, Setup::default());
        let written = include_str!("../../../configs/training.toml");
        assert_eq!(Setup::parse(written, "configs/training.toml").unwrap(), setup);
        assert_eq!((setup.batch_size, setup.epochs, setup.lr), (64, 25, 1e-4));
        assert_eq!(setup.depths(12, 24), (12, 24));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let setup = Setup {
            tune: Tune::Text,
            text_depth: Some(3),
            init: Init::Words("a photo: of".to_owned()),
            select: Select::BestOnValidation,
            without: vec!["dcp".to_owned()],
            ..Setup::default()
        };
        assert_eq!(Setup::parse(&setup.to_toml(), "memory").unwrap(), setup);
        assert_eq!(setup.depths(12, 12), (3, 0), "a tower that learns nothing has no prompts");
    }

    #[test]
    fn what_means_nothing_is_refused_by_its_key() {
        for (text, key) in [
            ("lr = 0.0", "lr"),
            ("patch_lr = 1.5", "patch_lr"),
            ("epochs = 0", "epochs"),
            ("epochs = 2\nwarmup_epochs = 2", "warmup_epochs"),
            ("tune = \"text\"\ntext_depth = 0", "text_depth"),
            ("visual_len = 0", "visual_len"),
            ("validation_share = 1.0", "validation_share"),
            ("label_range = [1.0, 1.0]", "label_range"),
            ("words = [\"bad\", \" \"]", "words"),
            ("tune = \"all\"\ntext_depth = 0\nvisual_depth = 0\nwords = [\"hazy.\", \"clear.\"]", "words"),
            ("tune = \"visual\"\ninit = \"words:a photo of\"", "init"),
        ] {
            let error = Setup::parse(text, "memory").unwrap_err();
            assert!(error.to_string().contains(key), "{text}: {error}");
        }
        for text in ["epoch = 3", "tune = \"prompt\"", "init = \"words:\""] {
            assert!(matches!(Setup::parse(text, "x.toml"), Err(SetupError::Toml { .. })), "{text}");
        }
    }

    #[test]
    fn a_tower_without_prompts_has_none_of_any_length() {
        // The settings of a training that continues from text prompts alone.
        let text = "tune = \"all\"\ntext_depth = 3\nvisual_depth = 0\nvisual_len = 0";
        assert_eq!(Setup::parse(text, "memory").unwrap().depths(3, 3), (3, 0));
    }

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let setup = Setup { lr: 1.0, epochs: 3, warmup_epochs: 1, schedule: Schedule::Cosine, ..Setup::default() };
        let rates: Vec<f64> = (0..12).map(|step| setup.learning_rate_at(step, 4)).collect();
        assert_eq!(rates[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!((rates[8] - 0.5).abs() < 1e-12, "half way down");
        assert!(rates[4..].windows(2).all(|pair| pair[1] < pair[0]) && rates[11] > 0.0);
        assert_eq!(Setup::default().learning_rate_at(0, 4), 1e-4);
    }
}
