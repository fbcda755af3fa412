//! Flags that send a command to a coordinator instead of running it in this process.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::builder::BoolishValueParser;
#[cfg(feature = "cluster")]
use dqa_service::net::TlsArgs;
use dqa_service::program::help::headings;
use dqa_service::program::with_hint;

#[cfg(feature = "cluster")]
use super::coordinator_client::{Client, connect};
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature::{Client, connect};

/// The coordinator's address, and the user's credentials.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct CoordinatorArgs {
    /// Coordinator to send the command to: http://HOST:PORT or https://HOST:PORT [default: run the command in this
    /// process].
    #[arg(id = "coordinator", long = "coordinator", help_heading = headings::COORDINATOR, env = "DQA_COORDINATOR", value_name = "URL")]
    pub(super) url: Option<String>,

    /// File with the users' token.
    #[arg(long, env = "DQA_USER_TOKEN_FILE", help_heading = headings::SECURITY, value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[cfg(feature = "cluster")]
    #[command(flatten)]
    tls: TlsArgs,

    /// Send the token unencrypted. Only for a trusted network.
    #[arg(long, env = "DQA_INSECURE", help_heading = headings::SECURITY, value_parser = BoolishValueParser::new())]
    insecure: bool,
}

impl CoordinatorArgs {
    /// Returns a client of the coordinator, if one is given.
    pub(super) fn client(&self) -> anyhow::Result<Option<Client>> {
        self.url.as_deref().map(|url| self.connect(url)).transpose()
    }

    #[cfg(feature = "cluster")]
    fn connect(&self, url: &str) -> anyhow::Result<Client> {
        connect(url, self.token_file.as_deref(), &self.tls, self.insecure)
    }

    #[cfg(not(feature = "cluster"))]
    fn connect(&self, _url: &str) -> anyhow::Result<Client> {
        connect(self.token_file.as_deref(), self.insecure)
    }

    /// Returns a client of the coordinator, which must be given.
    pub(super) fn required_client(&self) -> anyhow::Result<Client> {
        self.client()?.ok_or_else(|| {
            with_hint(anyhow!("no coordinator is named"), "give --coordinator URL, or set DQA_COORDINATOR")
        })
    }
}
