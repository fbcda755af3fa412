//! Scores pictures: a model and metrics that are kept between calls.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use arrow::array::{
    ArrayRef, Float32Builder, Float64Array, Int32Array, ListBuilder, RecordBatch, StringArray, UInt32Array,
};
use arrow::datatypes::{Field, Schema};
use dqa_engine::decode::PictureError;
use dqa_engine::fetch::read_file;
use dqa_engine::inference::{InferenceSettings, MeasuredPicture, Measures, MetricValue, PictureInput, Wanted, measure};
use dqa_metrics::{Evaluator, Metric, ReferenceKind};
use dqa_model::{Arithmetic, Views};
use dqa_pipelines::metric::MetricSelection;
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_service::metric_args::ParameterArgs;
use dqa_service::model_args::{LimitArgs, LoadedModel, MachineArgs, ModelArgs};
use dqa_service::program::with_hint;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use rayon::ThreadPool;

use crate::errors::{exception, raised};
use crate::table::Table;
use crate::threads::claim;

/// Ctrl-C ends the work after at most this time and a picture.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// A model and metrics that are ready to score. Use it from one thread at a time; other threads of Python go on.
#[pyclass(module = "dqa", frozen)]
pub(crate) struct Scorer {
    measures: Measures,
    wanted: Wanted,
    settings: InferenceSettings,
    device: String,
    pool: ThreadPool,
    bytes_max: u64,
}

/// A picture that Python wants scored.
struct Request {
    index: usize,
    picture: Py<PyAny>,
    clear: Option<Py<PyAny>>,
    hazy: Option<Py<PyAny>>,
}

#[pymethods]
impl Scorer {
    #[new]
    #[pyo3(signature = (model=None, *, prompts=None, handcrafted=false, metrics=vec![], metric_parameters=None, views=None,
        dtype="f32", device="cpu", batch=None, threads=None, decode_threads=None, picture_mib=512, offline=false))]
    #[allow(clippy::too_many_arguments)] // keywords of a Python class
    fn new(
        py: Python<'_>,
        model: Option<String>,
        prompts: Option<PathBuf>,
        handcrafted: bool,
        metrics: Vec<String>,
        metric_parameters: Option<PathBuf>,
        views: Option<&str>,
        dtype: &str,
        device: &str,
        batch: Option<u32>,
        threads: Option<u32>,
        decode_threads: Option<u32>,
        picture_mib: u64,
        offline: bool,
    ) -> PyResult<Scorer> {
        let default = PictureLimits::default();
        let args = ModelArgs {
            model: model.unwrap_or_default(),
            prompts,
            handcrafted,
            views: views
                .map_or(Ok(Views::default()), str::parse)
                .map_err(|error| exception(format!("views: {error}"), None))?,
            device: device.to_owned(),
            dtype: dtype.parse::<Arithmetic>().map_err(|error| exception(format!("dtype: {error}"), None))?,
            batch,
            machine: MachineArgs { threads, decode_threads, picture_mib },
            limits: LimitArgs {
                pixels_max: default.pixels_max,
                side_max: default.side_max,
                bytes_max: default.bytes_max,
            },
            offline,
        };
        claim()?;
        py.detach(|| Scorer::open(&args, &metrics, metric_parameters)).map_err(|error| raised(&error))
    }

    /// Scores pictures. `encode` turns one into a path or the bytes of a file; it is called in another thread. `each` is
    /// called with the number of pictures of each step.
    #[pyo3(signature = (pictures, names, clear, hazy, windows, encode, each))]
    #[allow(clippy::too_many_arguments)]
    fn score_encoded(
        &self,
        py: Python<'_>,
        pictures: Vec<Py<PyAny>>,
        names: Vec<String>,
        clear: Option<Vec<Py<PyAny>>>,
        hazy: Option<Vec<Py<PyAny>>>,
        windows: bool,
        encode: Py<PyAny>,
        each: Option<Py<PyAny>>,
    ) -> PyResult<Table> {
        claim()?;
        let (mut clear, mut hazy) = (clear.map(Vec::into_iter), hazy.map(Vec::into_iter));
        let requests: Vec<Request> = pictures
            .into_iter()
            .enumerate()
            .map(|(index, picture)| Request {
                index,
                picture,
                clear: clear.as_mut().and_then(Iterator::next),
                hazy: hazy.as_mut().and_then(Iterator::next),
            })
            .collect();
        let count = requests.len();
        let measured = py.detach(|| self.measure(requests, &encode, each.as_ref()))?;
        assert_eq!(measured.len(), count, "rows in = rows out");
        Ok(Table::of(self.table(&names, &measured, windows)))
    }

    /// The fingerprint of the model, 64 digits. None without a model.
    #[getter]
    fn fingerprint(&self) -> Option<String> {
        self.measures.clip_dqa.as_ref().map(|scorer| scorer.fingerprint().to_string())
    }

    /// The device, with what matters for its speed.
    #[getter]
    fn device(&self) -> &str {
        &self.device
    }

    /// The metrics beside CLIP-DQA: a column each.
    #[getter]
    fn metrics(&self) -> Vec<&'static str> {
        self.wanted.metrics.iter().map(|metric| metric.name()).collect()
    }
}

impl Scorer {
    fn open(args: &ModelArgs, metrics: &[String], parameters: Option<PathBuf>) -> anyhow::Result<Scorer> {
        let mut selection = MetricSelection::parse(metrics.iter().map(String::as_str))?;
        selection.clip_dqa |= !args.model.is_empty();
        if selection.clip_dqa && args.model.is_empty() {
            let error = anyhow::anyhow!("clip-dqa scores with a model");
            return Err(with_hint(error, "give one, for example model=\"dqa:small\", which has its prompts"));
        }
        if !selection.clip_dqa && selection.classic.is_empty() {
            let error = anyhow::anyhow!("neither a model nor metrics are given");
            return Err(with_hint(error, "for example model=\"dqa:small\", or metrics=[\"niqe\"]"));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(args.machine.threads.unwrap_or_default() as usize);
        let pool = pool.thread_name(|number| format!("dqa {number}")).build()?;
        // The threads are the scorer's own, and not those of the process.
        let args = ModelArgs { machine: MachineArgs { threads: None, ..args.machine.clone() }, ..args.clone() };
        let load = || if selection.clip_dqa { args.load_quietly() } else { args.without_model() };
        let LoadedModel { scorer, settings, device, .. } = pool.install(load)?;
        let evaluator = Evaluator::default();
        let evaluator = match (ParameterArgs { metric_parameters: parameters }).read()? {
            Some(file) => evaluator.with_parameters(file.parameters),
            None => evaluator,
        };
        let measures = Measures { clip_dqa: scorer, evaluator };
        let wanted = Wanted { clip_dqa: selection.clip_dqa, metrics: selection.classic };
        Ok(Scorer { measures, wanted, settings, device, pool, bytes_max: args.limits.bytes_max })
    }

    /// Scores the pictures in their order, in the scorer's own threads. This thread is the one whose signals Python handles: it
    /// waits, and ends the work early if `each` or a signal raises.
    fn measure(
        &self,
        requests: Vec<Request>,
        encode: &Py<PyAny>,
        each: Option<&Py<PyAny>>,
    ) -> PyResult<Vec<MeasuredPicture>> {
        let fetch = |request: &Request| {
            let file = |picture: &Py<PyAny>| self.read(picture, request.index, encode);
            Ok(PictureInput {
                bytes: file(&request.picture)?,
                wanted: self.wanted.clone(),
                clear: request.clear.as_ref().filter(|_| self.wanted.needs(ReferenceKind::Clear)).map(file),
                hazy: request.hazy.as_ref().filter(|_| self.wanted.needs(ReferenceKind::Hazy)).map(file),
            })
        };
        let is_stopped = &AtomicBool::new(false);
        let (sender, receiver) = channel();
        // It takes the sender with it: the channel ends with the work.
        let work = move || {
            measure(&self.measures, &self.settings, requests.into_iter(), fetch, |_, outcome| {
                // The receiver is there until this thread has ended.
                let _ = sender.send(outcome);
                if is_stopped.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        std::thread::scope(|scope| {
            let working = scope.spawn(move || self.pool.install(work));
            let mut measured = Vec::new();
            let mut raised_by_python = None;
            loop {
                let new = match receiver.recv_timeout(SIGNALS_EVERY) {
                    Ok(outcome) => {
                        measured.push(outcome);
                        true
                    }
                    Err(RecvTimeoutError::Timeout) => false,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                let said = Python::attach(|py| {
                    let each = each.filter(|_| new).map_or(Ok(()), |each| each.call1(py, (1,)).map(drop));
                    each.and_then(|()| py.check_signals())
                });
                if let Err(error) = said {
                    is_stopped.store(true, Relaxed);
                    raised_by_python.get_or_insert(error);
                }
            }
            let report = working.join().map_err(|_| exception("scoring panicked; this is a bug".to_owned(), None))?;
            match raised_by_python {
                Some(error) => Err(error),
                None => report.map(|_| measured).map_err(|error| raised(&error.into())),
            }
        })
    }

    /// Returns the bytes of a picture's file.
    fn read(&self, picture: &Py<PyAny>, index: usize, encode: &Py<PyAny>) -> Result<Vec<u8>, PictureError> {
        let unreadable = |error: PyErr| {
            let source = io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
            PictureError::Io { path: format!("picture {index}"), source }
        };
        enum File {
            Path(PathBuf),
            Bytes(Vec<u8>),
        }
        let file = Python::attach(|py| {
            let encoded = encode.call1(py, (picture,))?;
            let encoded = encoded.bind(py);
            match encoded.cast::<PyString>() {
                Ok(path) => Ok(File::Path(path.to_str()?.into())),
                Err(_) => Ok(File::Bytes(encoded.cast::<PyBytes>()?.as_bytes().to_vec())),
            }
        });
        match file.map_err(unreadable)? {
            File::Path(path) => read_file(Path::new(&path), self.bytes_max),
            File::Bytes(bytes) => Ok(bytes),
        }
    }

    /// Returns the rows: the columns of `dqa-worker score --format csv`.
    fn table(&self, names: &[String], measured: &[MeasuredPicture], with_windows: bool) -> RecordBatch {
        let score = |picture: &MeasuredPicture| {
            picture.measured.as_ref().ok().and_then(|measured| Some(measured.clip_dqa.as_ref()?.as_ref().ok()?.clone()))
        };
        let scores: Vec<_> = measured.iter().map(score).collect();
        let error = |picture: &MeasuredPicture| match &picture.measured {
            Err(error) => Some((error.code().as_str(), error.line())),
            Ok(measured) => match &measured.clip_dqa {
                Some(Err(error)) => Some((error.code().as_str(), error.line())),
                _ => None,
            },
        };
        let errors: Vec<_> = measured.iter().map(error).collect();
        let size = |part: fn((u32, u32)) -> u32| -> ArrayRef {
            Arc::new(measured.iter().map(|picture| picture.size.map(part)).collect::<UInt32Array>())
        };
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("image".to_owned(), Arc::new(StringArray::from_iter_values(names))),
            (
                "score".to_owned(),
                Arc::new(scores.iter().map(|s| s.as_ref().map(|s| s.score)).collect::<Float64Array>()),
            ),
            (
                "windows".to_owned(),
                Arc::new(Int32Array::from_iter_values(
                    scores.iter().map(|s| s.as_ref().map_or(0, |s| s.windows.len() as i32)),
                )),
            ),
            ("width".to_owned(), size(|(width, _)| width)),
            ("height".to_owned(), size(|(_, height)| height)),
            (
                "error_code".to_owned(),
                Arc::new(errors.iter().map(|e| e.as_ref().map(|e| e.0)).collect::<StringArray>()),
            ),
            (
                "error_message".to_owned(),
                Arc::new(errors.iter().map(|e| e.as_ref().map(|e| e.1.as_str())).collect::<StringArray>()),
            ),
        ];
        self.push_metrics(measured, &mut columns);
        if with_windows {
            let mut windows = ListBuilder::new(Float32Builder::new());
            for score in &scores {
                windows.append_option(score.as_ref().map(|score| score.windows.iter().map(|value| Some(*value))));
            }
            columns.push(("window_scores".to_owned(), Arc::new(windows.finish())));
        }
        let field = |(name, array): &(String, ArrayRef)| Field::new(name, array.data_type().clone(), is_nullable(name));
        let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(schema), arrays).expect("columns have a value for each picture")
    }

    /// Adds a column for each metric, and one that says why metrics have no value: `psnr_rgb: reference_missing`.
    fn push_metrics(&self, measured: &[MeasuredPicture], columns: &mut Vec<(String, ArrayRef)>) {
        if self.wanted.metrics.is_empty() {
            return;
        }
        for metric in &self.wanted.metrics {
            let value = |picture: &MeasuredPicture| {
                let value = metric_values(picture).iter().find(|value| value.metric == *metric)?;
                value.value.as_ref().ok().copied()
            };
            columns.push((metric.name().to_owned(), Arc::new(measured.iter().map(value).collect::<Float64Array>())));
        }
        let errors = |picture: &MeasuredPicture| {
            let failed =
                metric_values(picture).iter().filter_map(|value| Some((value.metric, value.value.as_ref().err()?)));
            let texts: Vec<String> = failed.map(|(metric, error)| format!("{metric}: {}", error.code())).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        };
        columns.push(("metric_errors".to_owned(), Arc::new(measured.iter().map(errors).collect::<StringArray>())));
    }
}

/// The metrics beside CLIP-DQA: `metric`, `direction`, and `needs`, the picture that it compares with.
#[pyfunction]
pub(crate) fn metrics(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let describe = |metric: Metric| {
        let dict = PyDict::new(py);
        dict.set_item("metric", metric.name())?;
        dict.set_item("direction", metric.direction().as_str())?;
        let needs = metric.reference().map(|kind| match kind {
            ReferenceKind::Clear => "clear",
            ReferenceKind::Hazy => "hazy",
        });
        dict.set_item("needs", needs)?;
        Ok(dict)
    };
    Metric::ALL.into_iter().map(describe).collect()
}

fn metric_values(picture: &MeasuredPicture) -> &[MetricValue] {
    picture.measured.as_ref().map_or(&[], |measured| &measured.metrics)
}

fn is_nullable(column: &str) -> bool {
    !matches!(column, "image" | "windows")
}
