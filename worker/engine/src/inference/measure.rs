//! What a decode thread does with a picture: decodes it once, computes the metrics that need no device, and prepares it
//! for the model.

use std::sync::Arc;

use dqa_metrics::{Evaluator, Inputs, Measurement, Metric, ReferenceKind, RgbView};
use dqa_model::{PictureScore, Prepared, Rgb8, Scorer};

use crate::decode::{self, Limits, PictureError};

/// What scores pictures.
#[derive(Clone)]
pub struct Measures {
    /// The model of CLIP-DQA, if it is one of the metrics.
    pub clip_dqa: Option<Arc<Scorer>>,
    /// The parameters of the other metrics.
    pub evaluator: Evaluator,
}

/// The metrics that are wanted of one picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whether CLIP-DQA is one of them.
    pub clip_dqa: bool,
    /// The other metrics.
    pub metrics: Vec<Metric>,
}

/// A fetched picture: its file, and the files of the pictures that metrics compare it with.
#[derive(Debug)]
pub struct PictureInput {
    /// The picture's file.
    pub bytes: Vec<u8>,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// The file of the clear picture, or why it cannot be read.
    pub clear: Option<Result<Vec<u8>, PictureError>>,
    /// The file of the hazy picture, or why it cannot be read.
    pub hazy: Option<Result<Vec<u8>, PictureError>>,
}

/// The values of a picture that was decoded.
#[derive(Debug)]
pub struct Measured {
    /// The score of CLIP-DQA, if it was wanted.
    pub clip_dqa: Option<Result<PictureScore, PictureError>>,
    /// The values of the other metrics, in the order in which they were wanted.
    pub metrics: Vec<MetricValue>,
}

impl Measured {
    /// Returns whether every metric has a value.
    pub(super) fn is_complete(&self) -> bool {
        self.clip_dqa.as_ref().is_none_or(Result::is_ok) && self.metrics.iter().all(|metric| metric.value.is_ok())
    }
}

/// The value of one metric.
#[derive(Debug)]
pub struct MetricValue {
    /// The metric.
    pub metric: Metric,
    /// Its value, or why there is none.
    pub value: Result<f64, PictureError>,
    /// Share of flat windows, for metrics that depend on them.
    pub flat_share: Option<f64>,
}

/// A decoded picture with everything but the model's score.
pub(super) struct DecodedPicture {
    /// The picture for the model, if CLIP-DQA was wanted.
    pub(super) prepared: Option<Result<Prepared, PictureError>>,
    pub(super) metrics: Vec<MetricValue>,
}

impl Wanted {
    /// Returns whether one of the metrics compares with a picture of this kind.
    pub fn needs(&self, kind: ReferenceKind) -> bool {
        self.metrics.iter().any(|metric| metric.reference() == Some(kind))
    }

    /// Returns the shortest side that one of the metrics accepts, in pixels.
    fn side_min(&self, measures: &Measures) -> u32 {
        let metrics = self.metrics.iter().map(|metric| u32::try_from(metric.smallest_side()).unwrap_or(u32::MAX));
        let model = measures.clip_dqa.iter().filter(|_| self.clip_dqa).map(|scorer| scorer.views().side_min());
        metrics.chain(model).min().unwrap_or(1)
    }
}

impl PictureInput {
    /// Returns the limits of this picture: a run's limits, with the shortest side that one of its metrics accepts.
    pub(super) fn limits(&self, limits: &Limits, measures: &Measures) -> Limits {
        Limits { side_min: self.wanted.side_min(measures), ..limits.clone() }
    }

    /// Returns the number of bytes that the files take, and that decoding them takes at most.
    pub(super) fn bytes_in_flight(&self, limits: &Limits) -> u64 {
        let references = [&self.clear, &self.hazy].into_iter().flatten().filter_map(|file| file.as_ref().ok());
        let reference_limits = Limits { side_min: 1, ..limits.clone() };
        let files = references.map(|file| {
            let decoded = decode::probe(file, &reference_limits).map_or(0, |header| header.decode_bytes);
            file.len() as u64 + decoded
        });
        self.bytes.len() as u64 + files.sum::<u64>()
    }
}

/// Decodes a picture, computes its metrics, and prepares it for the model.
pub(super) fn decode_and_measure(
    input: PictureInput,
    limits: &Limits,
    measures: &Measures,
) -> Result<DecodedPicture, PictureError> {
    let picture = decode::decode(&input.bytes, &input.limits(limits, measures))?;
    let PictureInput { wanted, clear, hazy, .. } = input;
    let metrics = if wanted.metrics.is_empty() {
        Vec::new()
    } else {
        let limits = Limits { side_min: 1, ..limits.clone() };
        let decode = |file: Result<Vec<u8>, PictureError>| {
            file.and_then(|bytes| decode::decode(&bytes, &limits)).map_err(Arc::new)
        };
        let references = References { clear: clear.map(decode), hazy: hazy.map(decode) };
        evaluate(&measures.evaluator, &wanted.metrics, &picture, &references)
    };
    let scorer = measures.clip_dqa.as_ref().filter(|_| wanted.clip_dqa);
    Ok(DecodedPicture { prepared: scorer.map(|scorer| prepare(picture, scorer)), metrics })
}

fn prepare(picture: Rgb8, scorer: &Scorer) -> Result<Prepared, PictureError> {
    let views = scorer.views();
    let (width, height, side_min) = (picture.width(), picture.height(), views.side_min());
    if width.min(height) < side_min {
        return Err(PictureError::TooSmall { width, height, side_min });
    }
    Ok(Prepared::new(picture, views).expect("there is room for a window"))
}

/// The pictures that metrics compare with, decoded.
struct References {
    clear: Option<Result<Rgb8, Arc<PictureError>>>,
    hazy: Option<Result<Rgb8, Arc<PictureError>>>,
}

impl References {
    fn get(&self, kind: ReferenceKind) -> Option<&Result<Rgb8, Arc<PictureError>>> {
        match kind {
            ReferenceKind::Clear => self.clear.as_ref(),
            ReferenceKind::Hazy => self.hazy.as_ref(),
        }
    }

    fn view(&self, kind: ReferenceKind) -> Option<RgbView<'_>> {
        self.get(kind)?.as_ref().ok().map(view)
    }

    /// Returns why the picture that a metric compares with cannot be read.
    fn error(&self, metric: Metric) -> Option<PictureError> {
        let error = self.get(metric.reference()?)?.as_ref().err()?;
        Some(PictureError::Reference(error.clone()))
    }
}

fn view(picture: &Rgb8) -> RgbView<'_> {
    RgbView::new(picture.pixels(), picture.width() as usize, picture.height() as usize)
}

fn evaluate(evaluator: &Evaluator, metrics: &[Metric], picture: &Rgb8, references: &References) -> Vec<MetricValue> {
    let inputs = Inputs {
        picture: view(picture),
        clear: references.view(ReferenceKind::Clear),
        hazy: references.view(ReferenceKind::Hazy),
    };
    let measurements = evaluator.evaluate(metrics, &inputs);
    let values = metrics.iter().zip(measurements).map(|(metric, Measurement { value, flat_share })| {
        let value = value.map_err(|undefined| references.error(*metric).unwrap_or(undefined.into()));
        MetricValue { metric: *metric, value, flat_share }
    });
    values.collect()
}
