//! The measures against SciPy's numbers and against laws.

use std::path::Path;

use super::*;

struct SharedTable {
    groups: Vec<String>,
    names: Vec<String>,
    /// By name, as in `names`.
    columns: Vec<Vec<f64>>,
}

/// A CSV file whose first column names a group and whose others are numbers.
fn shared_table(name: &str) -> Option<SharedTable> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/stats")).join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not here", path.display());
        return None;
    }
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().skip(1).map(str::to_owned).collect();
    let (mut groups, mut columns) = (Vec::new(), vec![Vec::new(); names.len()]);
    for record in reader.records() {
        let record = record.unwrap();
        groups.push(record[0].to_owned());
        for (column, text) in columns.iter_mut().zip(record.iter().skip(1)) {
            column.push(text.parse().unwrap());
        }
    }
    Some(SharedTable { groups, names, columns })
}

fn expected() -> Option<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/stats/expected.json");
    Some(serde_json::from_str(&std::fs::read_to_string(path).ok()?).unwrap())
}

#[test]
fn measures_are_scipys_on_real_sets() {
    let Some(expected) = expected() else { return };
    for set in ["tid2013", "live2", "ivc"] {
        let Some(SharedTable { names, columns, .. }) = shared_table(&format!("{set}.csv")) else { return };
        let mos = &columns[0];
        for (name, x) in names.iter().zip(&columns).skip(1) {
            let wanted = |measure: &str| expected[set][name][measure].as_f64().unwrap();
            for (measure, value) in [("srcc", srcc(x, mos)), ("krcc", krcc(x, mos)), ("plcc", plcc(x, mos))] {
                let difference = value.unwrap() - wanted(measure);
                assert!(difference.abs() < 1e-9, "{set} {name} {measure}: {difference:e}");
            }
            for (fit, suffix) in fits(x, mos).iter().zip(["4pl", "5pl"]) {
                let (plcc, rmse) = (fit.plcc.unwrap(), fit.rmse.unwrap());
                let (plcc_wanted, rmse_wanted) = (wanted(&format!("plcc_{suffix}")), wanted(&format!("rmse_{suffix}")));
                eprintln!("{set} {name} {suffix} {:?} {:e} {:e}", fit.status, plcc - plcc_wanted, rmse_wanted - rmse);
                assert!(plcc > plcc_wanted - 1e-4, "{set} {name} {suffix}: PLCC {plcc} for {plcc_wanted}");
                assert!(rmse < rmse_wanted + 1e-4, "{set} {name} {suffix}: RMSE {rmse} for {rmse_wanted}");
            }
        }
    }
}
