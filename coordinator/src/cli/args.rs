//! Flags that several commands share: the store, and where a query or a report is computed.

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use dqa_pipelines::store::{Store, StoreError};

/// The store with the results.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// Store with the results: a folder, or a URL that begins with s3://, gs:// or az://.
    #[arg(id = "store", long = "store", env = "DQA_STORE", default_value = "dqa-store", value_name = "URL")]
    pub(super) url: String,
}

impl StoreArgs {
    /// Opens the store to read from it. A local store must exist.
    pub(super) async fn open(&self) -> anyhow::Result<Store> {
        checked(Store::open(&self.url, Path::new(""))).await.context("cannot open the store")
    }

    /// Opens the store to write to it. Creates a local store that does not exist.
    pub(super) async fn create(&self) -> anyhow::Result<Store> {
        checked(Store::create(&self.url, Path::new(""))).await.context("cannot open the store")
    }
}

/// Checks that the store answers, so that a wrong address is reported before anything is read or computed.
async fn checked(store: Result<Store, StoreError>) -> Result<Store, StoreError> {
    let store = store?;
    store.check().await?;
    Ok(store)
}

/// Where a query or a report is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Engine {
    /// In this process, or in the coordinator's own.
    Local,
    /// On the coordinator's workers.
    Cluster,
}
