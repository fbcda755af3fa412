//! Tests of the measures against SciPy's numbers and against laws.

use std::path::Path;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::dense_ranks::DenseRanks;

struct SharedTable {
    names: Vec<String>,
    /// In the order of `names`.
    columns: Vec<Vec<f64>>,
}

/// Reads the columns of a CSV file but the first, which names a group.
fn shared_table(name: &str) -> Option<SharedTable> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/stats")).join(name);
    if !path.exists() {
        eprintln!("skipped: {} is missing", path.display());
        return None;
    }
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().skip(1).map(str::to_owned).collect();
    let mut columns = vec![Vec::new(); names.len()];
    for record in reader.records() {
        let record = record.unwrap();
        for (column, text) in columns.iter_mut().zip(record.iter().skip(1)) {
            column.push(text.parse().unwrap());
        }
    }
    Some(SharedTable { names, columns })
}

fn expected() -> Option<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/stats/expected.json");
    Some(serde_json::from_str(&std::fs::read_to_string(path).ok()?).unwrap())
}

#[test]
fn measures_are_scipys_on_real_sets() {
    let Some(expected) = expected() else { return };
    for set in ["tid2013", "live2", "ivc"] {
        let Some(SharedTable { names, columns }) = shared_table(&format!("{set}.csv")) else { return };
        let mos = &columns[0];
        for (name, x) in names.iter().zip(&columns).skip(1) {
            let expected = |measure: &str| expected[set][name][measure].as_f64().unwrap();
            for (measure, value) in [("srcc", srcc(x, mos)), ("krcc", krcc(x, mos)), ("plcc", plcc(x, mos))] {
                let difference = value.unwrap() - expected(measure);
                assert!(difference.abs() < 1e-9, "{set} {name} {measure}: {difference:e}");
            }
            for (fit, suffix) in fit_logistics(x, mos).iter().zip(["4pl", "5pl"]) {
                // The sign is that of scores and labels; the expected numbers have none.
                assert_eq!(fit.plcc.unwrap() < 0.0, expected("plcc") < 0.0, "{set} {name}");
                let (plcc, rmse) = (fit.plcc.unwrap().abs(), fit.rmse.unwrap());
                let plcc_expected = expected(&format!("plcc_{suffix}"));
                let rmse_expected = expected(&format!("rmse_{suffix}"));
                let (plcc_gain, rmse_gain) = (plcc - plcc_expected, rmse_expected - rmse);
                eprintln!("{set} {name} {suffix} {:?} {plcc_gain:e} {rmse_gain:e}", fit.status);
                // The expected curves are the best of any width and direction: ours are monotone and bend less sharply.
                assert!(plcc > plcc_expected - 5e-3, "{set} {name} {suffix}: PLCC {plcc}, expected {plcc_expected}");
                assert!(rmse < rmse_expected * 1.01, "{set} {name} {suffix}: RMSE {rmse}, expected {rmse_expected}");
                assert!(plcc > expected("plcc").abs() - 1e-6, "{set} {name} {suffix}: PLCC {plcc} is below a line's");
            }
        }
    }
}

/// Two columns of integers with many ties, and SciPy's measures of them.
struct Tied {
    x: &'static [i8],
    y: &'static [i8],
    srcc: f64,
    krcc: f64,
    plcc: f64,
    rmse: f64,
}

const TIED: [Tied; 4] = [
    Tied {
        x: &[2, 3, 0, 3, 1, 2, 2, 1, 3, 0, 1, 1, 2, 1, 0, 0, 0, 0, 0, 3, 0, 2, 3, 0],
        y: &[1, 3, 0, 3, 0, 3, 3, 2, 2, 0, 1, 1, 2, 2, 0, 0, 1, 0, 1, 2, 0, 3, 2, 0],
        srcc: 0.8242296767986591,
        krcc: 0.7186941980593466,
        plcc: 0.814757502103566,
        rmse: std::f64::consts::FRAC_1_SQRT_2,
    },
    Tied {
        x: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2],
        y: &[7, 7, 0, 7, 7, 0, 7, 7, 7, 0, 7, 7, 7, 7, 7, 7],
        srcc: 0.27450540652300653,
        krcc: 0.2664693550105965,
        plcc: 0.2588387888443728,
        rmse: 5.931905258852336,
    },
    Tied {
        x: &[-4, -11, -14, 2, -11, 12, 7, -20, 3, -11, 0, 0, -20, -2, -3, 10, -12, 7, -11, -3],
        y: &[10, 0, 10, -10, 10, -20, -10, 20, 0, 0, 0, 0, 20, 0, 0, -10, 10, -10, 20, 0],
        srcc: -0.8969905294702155,
        krcc: -0.8114822249196493,
        plcc: -0.8931612478907155,
        rmse: 20.343303566530193,
    },
    Tied {
        x: &[5, 1, 1, 2, 2, 2, 9],
        y: &[1, 1, 1, 1, 2, 3, 1],
        srcc: 0.0,
        krcc: 0.0,
        plcc: -0.24945922497781906,
        rmse: 3.4226138716316967,
    },
];

fn reals(values: &[i8]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn measures_are_scipys_where_values_are_tied() {
    for Tied { x, y, srcc: s, krcc: k, plcc: p, rmse: r } in TIED {
        let (x, y) = (reals(x), reals(y));
        for (value, expected) in [(srcc(&x, &y), s), (krcc(&x, &y), k), (plcc(&x, &y), p), (rmse(&x, &y), r)] {
            assert!((value.unwrap() - expected).abs() < 1e-12, "{value:?}, expected {expected}");
        }
    }
}

#[test]
fn undefined_measures_are_none() {
    let side = [0.1; 5];
    let other = [1.0, 2.0, 3.0, 4.0, 5.0];
    for (x, y) in [(&side[..], &other[..]), (&other, &side), (&side, &side), (&[1.0], &[2.0]), (&[], &[])] {
        assert_eq!((srcc(x, y), krcc(x, y), plcc(x, y)), (None, None, None), "{x:?} {y:?}");
    }
    assert_eq!(rmse(&[], &[]), None);
    assert_eq!(plcc(&[1.0, 2.0, f64::INFINITY], &[1.0, 2.0, 3.0]), None);
}

#[test]
fn plcc_holds_for_values_that_are_large_or_tiny() {
    let x = [1.0, 4.0, 2.0, 8.0, 5.0, 7.0];
    let y = [0.5, 0.25, 0.75, 1.5, 1.25, 1.0];
    let expected = plcc(&x, &y).unwrap();
    for (shift, scale) in [(1e9, 1e-3), (0.0, 1e-200), (0.0, 1e200), (-1e15, 1.0)] {
        // Shifting rounds the values; the expected correlation is that of the rounded ones.
        let moved = x.map(|x| shift + scale * x);
        let back = moved.map(|moved| (moved - shift) / scale);
        let expected = if shift == 0.0 { expected } else { plcc(&back, &y).unwrap() };
        assert!((plcc(&moved, &y).unwrap() - expected).abs() < 1e-12, "{shift} {scale}");
    }
}

#[test]
fn rank_measures_of_equal_orders_are_one() {
    let x: Vec<f64> = (0..1000).map(|i| f64::from(i * 7919 % 1009 / 3)).collect();
    let reversed: Vec<f64> = x.iter().map(|x| -x).collect();
    assert_eq!((srcc(&x, &x), krcc(&x, &x)), (Some(1.0), Some(1.0)));
    assert_eq!((srcc(&x, &reversed), krcc(&x, &reversed)), (Some(-1.0), Some(-1.0)));
}

/// Computes tau-b by its definition.
fn tau_of_all_pairs(x: &[f64], y: &[f64]) -> Option<f64> {
    let sign = |a: f64, b: f64| a.partial_cmp(&b).unwrap() as i64;
    let (mut sum, mut untied_x, mut untied_y) = (0, 0, 0);
    for i in 0..x.len() {
        for j in 0..i {
            let (in_x, in_y) = (sign(x[i], x[j]), sign(y[i], y[j]));
            sum += in_x * in_y;
            untied_x += in_x.abs();
            untied_y += in_y.abs();
        }
    }
    let scale = ((untied_x * untied_y) as f64).sqrt();
    (scale > 0.0).then(|| sum as f64 / scale)
}

/// Generates rows of few distinct values, so that many are tied.
fn tied_rows() -> impl Strategy<Value = Vec<(i8, i8, u32)>> {
    prop::collection::vec((-6..6_i8, -4..9_i8, 0..9_u32), 0..80)
}

fn columns_of(rows: &[(i8, i8, u32)]) -> (Vec<f64>, Vec<f64>, Vec<u32>) {
    let scores = rows.iter().map(|row| f64::from(row.0) / 7.0).collect();
    (scores, rows.iter().map(|row| f64::from(row.1)).collect(), rows.iter().map(|row| row.2).collect())
}

fn near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn krcc_is_its_definition(rows in tied_rows()) {
        let (x, y, _) = columns_of(&rows);
        prop_assert!(near(krcc(&x, &y), tau_of_all_pairs(&x, &y)));
    }

    #[test]
    fn rank_measures_depend_on_order_alone(rows in tied_rows()) {
        let (x, y, _) = columns_of(&rows);
        let increasing: Vec<f64> = x.iter().map(|x| x.exp() * 1e3 - 7.0).collect();
        let reversed: Vec<f64> = x.iter().map(|x| -x).collect();
        for measure in [srcc, krcc] {
            prop_assert_eq!(measure(&increasing, &y), measure(&x, &y));
            prop_assert_eq!(measure(&reversed, &y).map(|value| -value), measure(&x, &y));
            prop_assert_eq!(measure(&y, &x), measure(&x, &y));
        }
    }

    #[test]
    fn the_order_of_rows_is_irrelevant(rows in tied_rows(), rotation in 0..80_usize) {
        let mut other = rows.clone();
        other.rotate_left(rotation.min(rows.len()));
        other.reverse();
        let ((x, y, scene), (x2, y2, scene2)) = (columns_of(&rows), columns_of(&other));
        prop_assert_eq!(srcc(&x, &y), srcc(&x2, &y2));
        prop_assert_eq!(krcc(&x, &y), krcc(&x2, &y2));
        prop_assert!(near(plcc(&x, &y), plcc(&x2, &y2)));
        let accuracy = |score, mos, scene| pairwise_accuracy(&Columns { score, mos, scene });
        prop_assert_eq!(accuracy(&x, &y, &scene), accuracy(&x2, &y2, &scene2));
    }

    #[test]
    fn a_weighted_table_is_the_table_with_rows_repeated(rows in tied_rows(), seed in 0..u32::MAX) {
        let (x, y, _) = columns_of(&rows);
        let weights: Vec<u32> = (0..x.len() as u32).map(|row| (seed >> (row % 29)) % 4).collect();
        let repeated = |values: &[f64]| -> Vec<f64> {
            values.iter().zip(&weights).flat_map(|(&value, &weight)| vec![value; weight as usize]).collect()
        };
        let (ranks_x, ranks_y) = (DenseRanks::from_values(&x), DenseRanks::from_values(&y));
        let weighted_srcc = weighted_srcc(&ranks_x, &ranks_y, &weights);
        let weighted_krcc = weighted_krcc(&ranks_x, &ranks_y, &weights);
        prop_assert_eq!(weighted_srcc, srcc(&repeated(&x), &repeated(&y)));
        prop_assert_eq!(weighted_krcc, krcc(&repeated(&x), &repeated(&y)));
    }

    #[test]
    fn influence_is_the_derivative_by_a_rows_weight(rows in tied_rows(), index in 0..80_usize) {
        const STEP: u32 = 1_000_000;
        let (x, y, _) = columns_of(&rows);
        let (ranks_x, ranks_y) = (DenseRanks::from_values(&x), DenseRanks::from_values(&y));
        type Weighted = fn(&DenseRanks, &DenseRanks, &[u32]) -> Option<f64>;
        let measures = [
            (spearman::influence(&ranks_x, &ranks_y), weighted_srcc as Weighted),
            (kendall::influence(&ranks_x, &ranks_y), weighted_krcc),
        ];
        for (influence, weighted) in measures {
            let Some((value, influence)) = influence else { return Ok(()) };
            prop_assert!(near(Some(influence.iter().sum()), Some(0.0)));
            let row = index % x.len();
            let mut weights = vec![STEP; x.len()];
            weights[row] += STEP / 1000;
            let moved = weighted(&ranks_x, &ranks_y, &weights).unwrap() - value;
            // The weight of one of n rows grew by a thousandth.
            let expected = influence[row] / x.len() as f64 / 1000.0;
            prop_assert!((moved - expected).abs() < 2e-5 / x.len() as f64, "{}, expected {}", moved, expected);
        }
    }

    #[test]
    fn pairwise_accuracy_is_its_definition(rows in prop::collection::vec((-6..6_i8, -4..9_i8, 0..2_u32), 0..300)) {
        let (score, mos, scene) = columns_of(&rows);
        let mut expected = PairwiseAccuracy { agree: 0, disagree: 0, tied: 0 };
        for i in 0..score.len() {
            for j in (0..i).filter(|&j| scene[i] == scene[j] && mos[i] != mos[j]) {
                let alike = (score[i] - score[j]) * (mos[i] - mos[j]);
                expected.agree += u64::from(alike > 0.0);
                expected.disagree += u64::from(alike < 0.0);
                expected.tied += u64::from(alike == 0.0);
            }
        }
        let accuracy = pairwise_accuracy(&Columns { score: &score, mos: &mos, scene: &scene });
        prop_assert_eq!(accuracy, expected.value().map(|_| expected));
    }
}

fn weighted_srcc(x: &DenseRanks, y: &DenseRanks, weights: &[u32]) -> Option<f64> {
    spearman::weighted_coefficient(x, y, weights, &mut Default::default())
}

fn weighted_krcc(x: &DenseRanks, y: &DenseRanks, weights: &[u32]) -> Option<f64> {
    kendall::weighted_coefficient(x, y, weights, &mut Default::default())
}

/// Generates rows that are correlated within scenes: score and label share the scene's level. Labels take some 90
/// values.
pub(crate) fn table(rows: usize, scenes: u32, seed: u64) -> (Vec<f64>, Vec<f64>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let level: Vec<f64> = (0..scenes).map(|_| rng.random::<f64>()).collect();
    let (mut score, mut mos, mut scene) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let scene_index = row as u32 % scenes;
        let quality = level[scene_index as usize] + rng.random::<f64>();
        score.push(quality + 0.6 * rng.random::<f64>());
        mos.push(((quality + 0.4 * rng.random::<f64>()) * 37.5).floor());
        scene.push(scene_index * 3 + 1);
    }
    (score, mos, scene)
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (x, y, scene) = table(100_000, 700, 1);
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let bootstrap = Bootstrap { replicates: 20, ..Bootstrap::default() };
    let columns = Columns { score: &x, mos: &y, scene: &scene };
    for resampling in [Resampling::Jackknife { level: 0.95 }, Resampling::Bootstrap(bootstrap)] {
        let one = pool(1).install(|| estimate_agreement(&columns.sorted(), &resampling));
        assert_eq!(one, pool(3).install(|| estimate_agreement(&columns.sorted(), &resampling)));
        assert_eq!(one.krcc.unwrap().value, krcc(&x, &y).unwrap());
    }
    // The Fenwick tree shares no code with the merge sort.
    assert_eq!(
        krcc(&x, &y),
        weighted_krcc(&DenseRanks::from_values(&x), &DenseRanks::from_values(&y), &vec![1; x.len()])
    );
}
