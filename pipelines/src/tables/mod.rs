//! The Parquet tables that a store holds: their columns, how they are written, how they are read back. Each table's page
//! in `docs/tables.md` is the contract with those who read them with other tools.

pub mod parquet_file;
pub mod scores;
