//! The native half of the Python package `dqa`: what SQL and data frames cannot do. It adds no behaviour of its own: scores,
//! rows and statistics are those of the programs. The Python half is in `dqa/`.

mod errors;
mod run;
mod scorer;
mod statistics;
mod table;
mod threads;

use pyo3::prelude::*;

#[pymodule]
mod _dqa {
    use super::*;

    #[pymodule_export]
    use super::errors::Error;
    #[pymodule_export]
    use super::run::{Run, open_run, run_names};
    #[pymodule_export]
    use super::scorer::{Scorer, metrics};
    #[pymodule_export]
    use super::statistics::{agreement, krcc, leaderboard, plcc, rmse, srcc};
    #[pymodule_export]
    use super::table::Table;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
