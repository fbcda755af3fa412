//! Tables of scores of six pictures: three scenes by two algorithms.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use tempfile::TempDir;

use super::*;
use crate::dataset::{Ignore, find_definition, load};
use crate::status::RunStatus;
use crate::tables::parquet_file;
use crate::{Hint, causes};

const WHOLE: &str =
    "image,score\naod/01.png,3.5\naod/02.png,2.5\naod/03.png,4.5\ndcp/01.png,1\ndcp/02.png,2\ndcp/03.png,3\n";

struct Case {
    dir: TempDir,
    store: Store,
}

impl Case {
    fn new() -> Case {
        let dir = tempfile::tempdir().unwrap();
        for algorithm in ["aod", "dcp"] {
            std::fs::create_dir_all(dir.path().join("pictures").join(algorithm)).unwrap();
            for scene in ["01", "02", "03"] {
                std::fs::write(dir.path().join(format!("pictures/{algorithm}/{scene}.png")), "not read").unwrap();
            }
        }
        let store = Store::create(dir.path().join("store").to_str().unwrap(), Path::new("")).unwrap();
        Case { dir, store }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.dir.path().join(name), content).unwrap();
    }

    /// Loads the data set; `labels` is the section of its definition.
    async fn data(&self, labels: &str) -> DataSet {
        let layout = "name = \"d\"\nroot = \"pictures\"\nlayout = \"{algorithm}/{scene}.png\"\n";
        self.file("d.toml", format!("{layout}{labels}"));
        let definition = find_definition(self.dir.path().join("d.toml").to_str().unwrap(), Path::new("/")).unwrap();
        load(&definition).await.unwrap()
    }

    fn options(&self, file: &str) -> ImportOptions {
        ImportOptions {
            file: file.to_owned(),
            base: self.dir.path().to_owned(),
            columns: ScoreColumns::default(),
            metric: "maniqa".parse().unwrap(),
            direction: Direction::Higher,
            implementation: None,
            run: "r".parse().unwrap(),
            redefine: Vec::new(),
            provenance: BTreeMap::new(),
        }
    }

    async fn import(&self, options: &ImportOptions) -> Result<RunRecord, ImportError> {
        import_scores(&self.store, &self.data("").await, options).await
    }

    /// Returns what a run's rows say: image and score, or image and error code.
    async fn rows(&self, record: &RunRecord) -> Vec<String> {
        let mut rows = Vec::new();
        for part in &record.parts {
            for row in parts::read_rows(&self.store, &part.key).await.unwrap() {
                let score = row.score.map_or_else(|failure| failure.code, |statistics| statistics.score.to_string());
                rows.push(format!("{} {score}", row.image));
            }
        }
        rows
    }

    /// Imports a table, and returns the error with the hint.
    async fn error(&self, content: impl AsRef<[u8]>) -> String {
        self.file("wrong.csv", content);
        let error = self.import(&self.options("wrong.csv")).await.unwrap_err();
        format!("{} / {}", causes(&error), error.hint().unwrap_or_default())
    }
}

#[tokio::test]
async fn a_table_becomes_a_complete_run_with_a_row_for_each_picture() {
    let case = Case::new();
    case.file("s.csv", "image,score\nout/aod/01.png,3.5\naod/02.png,\ndcp/03.png,-1\n");
    let mut options = case.options("s.csv");
    options.direction = Direction::Lower;
    options.implementation = Some("pyiqa 0.1.13".to_owned());
    options.provenance = BTreeMap::from([("host".to_owned(), "here".to_owned())]);
    let record = case.import(&options).await.unwrap();
    assert_eq!(
        case.rows(&record).await,
        [
            "aod/01.png 3.5",
            "aod/02.png no_value",
            "aod/03.png not_in_table",
            "dcp/01.png not_in_table",
            "dcp/02.png not_in_table",
            "dcp/03.png -1",
        ]
    );
    assert_eq!(record.counts, RunCounts { pictures: 6, windows: 6, scored: 2, failed: 4 });
    let [metric] = &record.metrics()[..] else { panic!("{:?}", record.metrics()) };
    assert_eq!((metric.name.as_str(), metric.direction), ("maniqa", Direction::Lower));
    assert!(record.parts.iter().all(|part| part.is_of(metric)));
    assert_eq!((record.fingerprint.as_str(), record.spec.model.as_str(), record.spec.views.as_str()), ("", "", ""));
    let digest = blake3::hash(&std::fs::read(case.dir.path().join("s.csv")).unwrap()).to_hex().to_string();
    let facts = [("scores_digest", digest.as_str()), ("scores_implementation", "pyiqa 0.1.13"), ("host", "here")];
    assert!(facts.iter().all(|(name, value)| record.provenance[*name] == *value), "{:?}", record.provenance);
    assert!(record.provenance["scores_file"].ends_with("/s.csv"), "{:?}", record.provenance);
    assert_eq!(RunRecord::find(&case.store, &record.name).await.unwrap(), Some(record.clone()));
    // The counts are those of the parts.
    let recount = RunRecord { counted: None, ..record.clone() };
    let [counted, recounted] =
        [RunStatus::read(&case.store, record).await, RunStatus::read(&case.store, recount).await].map(Result::unwrap);
    assert_eq!(counted.progress, recounted.progress);
    assert!(counted.progress.is_complete() && counted.record.counted.is_some());
}

#[tokio::test]
async fn rows_are_matched_by_scene_and_algorithm_in_parquet_with_other_names() {
    let case = Case::new();
    let text = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("photo", text(["02", "1"])),
        ("method", text(["dcp", "aod"])),
        ("value", Arc::new(Float32Array::from(vec![0.5, 0.25])) as ArrayRef),
    ]);
    let batch = batch.unwrap();
    case.file("s.parquet", parquet_file::write(&batch.schema(), &[batch], &[]).unwrap());
    let mut options = case.options("s.parquet");
    let name = |text: &str| Some(text.to_owned());
    options.columns = ScoreColumns {
        scene: name("photo"),
        algorithm: name("method"),
        score: name("value"),
        ignore: vec![Ignore::Zeros],
        ..ScoreColumns::default()
    };
    let record = case.import(&options).await.unwrap();
    let rows = case.rows(&record).await;
    assert_eq!((&rows[0][..], &rows[4][..], record.counts.scored), ("aod/01.png 0.25", "dcp/02.png 0.5", 2));
}

#[tokio::test]
async fn rows_that_do_not_belong_to_one_picture_are_errors_that_name_them() {
    let case = Case::new();
    for (table, parts) in [
        (
            "image,score\naod/01.png,1\naod/09.png,2\nnet/01.png,3\n",
            vec!["2 of its 3 rows have no picture in the data set: line 3 (`aod/09.png`), line 4 (`net/01.png`)"],
        ),
        ("image,score\naod/1.png,1\naod/02.png,2\n", vec!["leading zeros", "`--ignore zeros` accepts these"]),
        ("image,score\n01.png,1\n", vec!["1 of its rows fit more than one picture: line 2 (`01.png`)", "/ name the"]),
        (
            "image,score\naod/01.png,1\ndcp/01.png,1\nx/aod/01.png,1\n",
            vec!["1 of its rows repeat the picture of another row: line 2 and line 4 (`aod/01.png`)"],
        ),
        ("image,score\naod/01.png,inf\n", vec!["line 2: `inf` in the column `score` is not finite"]),
        ("image,score\naod/01.png,\ndcp/01.png,n/a\n", vec!["none of its 2 rows has a score in the column `score`"]),
        ("image,quality\naod/01.png,1\n", vec!["it has no column `score`; it has image, quality; --image, --scene"]),
        ("name,score\naod/01.png,1\n", vec!["no column `image`", "--image, --scene, --algorithm"]),
        ("image,score\n", vec!["it has a header and no rows"]),
        ("image,score\naod/01.png,\"1,234\"\n", vec!["write decimals with a point"]),
    ] {
        let error = case.error(table).await;
        assert!(error.starts_with("cannot import scores from file://"), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{table}: {error}");
        assert!(!error.contains("[labels]"), "{error}");
    }
    let latin = case.error(b"image,score\naod/caf\xe9.png,1\n").await;
    assert!(latin.contains("its line 2 is not UTF-8: save it as UTF-8") && !latin.contains("[labels]"), "{latin}");
    let image = Arc::new(StringArray::from(vec!["aod/01.png"])) as ArrayRef;
    let infinite = Arc::new(Float32Array::from(vec![f32::INFINITY])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("image", image), ("score", infinite)]).unwrap();
    let error = case.error(parquet_file::write(&batch.schema(), &[batch], &[]).unwrap()).await;
    assert!(error.contains("row 1: the score inf of `aod/01.png` is not finite"), "{error}");
    case.file("wrong.csv", WHOLE);
    let mut options = case.options("wrong.csv");
    options.columns.image = Some("image".to_owned());
    options.columns.scene = Some("scene".to_owned());
    let error = case.import(&options).await.unwrap_err();
    assert!(matches!(&error, ImportError::Table { source: crate::dataset::ScoreTableError::TwoWays, .. }), "{error:?}");
    assert!(RunRecord::read_all(&case.store).await.unwrap().is_empty(), "nothing is written");
}

#[tokio::test]
async fn a_metric_that_dqa_computes_needs_to_say_which_code_made_it() {
    let case = Case::new();
    case.file("s.csv", WHOLE);
    for name in ["niqe", CLIP_DQA, "psnr", "all"] {
        let mut options = ImportOptions { metric: name.parse().unwrap(), ..case.options("s.csv") };
        for implementation in [None, Some(" ".to_owned())] {
            options.implementation = implementation;
            let error = case.import(&options).await.unwrap_err();
            assert!(error.to_string().contains(&format!("`{name}`")) && error.hint().is_some(), "{error}");
        }
        options.implementation = Some("other code".to_owned());
        let imported = case.import(&ImportOptions { run: name.parse().unwrap(), ..options }).await;
        assert_eq!(imported.is_ok(), ["niqe", CLIP_DQA].contains(&name), "{name}");
    }
    let records = RunRecord::read_all(&case.store).await.unwrap();
    let find = |name: &str| records.iter().find(|record| record.name.as_str() == name).unwrap();
    let (niqe, clip_dqa) = (find("niqe"), find(CLIP_DQA));
    let own = MetricSpec::classic(Metric::Niqe, &dqa_metrics::Parameters::default());
    assert_ne!(niqe.metrics()[0].fingerprint, own.fingerprint);
    assert_eq!(niqe.fingerprint, "");
    assert_eq!(clip_dqa.fingerprint, clip_dqa.metrics()[0].fingerprint);
    assert!(clip_dqa.parts.iter().all(|part| part.metric.is_none()));
}

#[test]
fn all_that_is_known_of_the_scores_is_in_the_fingerprint() {
    let case = Case::new();
    let base = case.options("s.csv");
    let fingerprint = |options: &ImportOptions, digest: &str| imported_metric(options, digest).fingerprint;
    let all = [
        fingerprint(&base, "aa"),
        fingerprint(&base, "bb"),
        fingerprint(&ImportOptions { metric: "liqe".parse().unwrap(), ..base.clone() }, "aa"),
        fingerprint(&ImportOptions { direction: Direction::Lower, ..base.clone() }, "aa"),
        fingerprint(&ImportOptions { implementation: Some("code".to_owned()), ..base.clone() }, "aa"),
    ];
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    // The file's address and the run's name say nothing of the scores.
    let moved = ImportOptions { file: "t.csv".to_owned(), run: "other".parse().unwrap(), ..base };
    assert_eq!(fingerprint(&moved, "aa"), all[0]);
}

#[tokio::test]
async fn the_same_table_again_is_the_same_run_and_another_is_refused() {
    let case = Case::new();
    case.file("s.csv", WHOLE);
    let options = case.options("s.csv");
    let first = case.import(&options).await.unwrap();
    let version = |key: String| {
        let store = case.store.clone();
        async move { store.head(&key).await.map(|object| object.version) }
    };
    let before = version(first.parts[0].key.clone()).await.unwrap();
    case.store.delete(&first.parts[1].key).await.unwrap();
    let again = case.import(&options).await.unwrap();
    assert_eq!((&again.parts, again.created), (&first.parts, first.created));
    assert_eq!(version(first.parts[0].key.clone()).await.unwrap(), before, "a part that exists stays");
    assert_eq!(case.rows(&again).await.len(), 6);

    case.file("mos.csv", "image,mos\naod/01.png,5\n");
    let labels = format!("[labels]\nroot = \"{}\"\nfile = \"mos.csv\"\n", case.dir.path().display());
    let labelled = case.data(&labels).await;
    let other = ImportOptions { run: "kept".parse().unwrap(), ..options.clone() };
    let kept = case.import(&other).await.unwrap();
    case.store.delete(&format!("{}/kept/run.json", crate::run::RUNS)).await.unwrap();
    assert_eq!(kept.parts, again.parts, "runs of one table share parts");
    let relabelled = import_scores(&case.store, &labelled, &options).await.unwrap();
    assert_ne!(relabelled.parts[0].key, again.parts[0].key);
    assert_eq!(relabelled.parts[1].key, again.parts[1].key, "no label changed");
    assert!(version(again.parts[0].key.clone()).await.unwrap_err().is_not_found(), "no run names it");

    case.file("s.csv", WHOLE.replace("3.5", "3.6"));
    let error = case.import(&options).await.unwrap_err();
    assert!(matches!(error, ImportError::RunExists { .. }) && error.hint().is_some(), "{error}");
}
