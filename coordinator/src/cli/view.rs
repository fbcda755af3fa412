//! `dqa-coord view`: serves the pages of a store on this machine.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, bail};
use dqa_service::program::{ExitStatus, StopSignal, note};
use dqa_site::{Access, Site};
use tokio::net::TcpListener;

use super::args::StoreArgs;
use super::local_only;
use crate::run::Roots;

/// The port, unless another program has it.
const PORT: u16 = 7080;

/// Serves the pages of a store on this machine: leaderboards, pictures, failures, progress. It ends with Ctrl-C.
#[derive(clap::Args)]
#[command(arg = local_only::coordinator_flag_of_store_reader())]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// Port on this machine [default: 7080, or another one if that is in use].
    #[arg(long, env = "DQA_VIEW_PORT", value_name = "PORT")]
    port: Option<u16>,

    /// Folders and URLs below which pictures may be read, joined by commas [default: wherever the store's rows say].
    #[arg(long, env = "DQA_ROOTS", value_delimiter = ',', value_name = "URLS")]
    roots: Vec<String>,

    /// Open the pages in the browser.
    #[arg(long)]
    open: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let store = args.store.open().await?;
    let roots = if args.roots.is_empty() {
        Roots::unrestricted()
    } else {
        Roots::new(&args.roots, true).context("invalid address in --roots")?
    };
    let allows = Arc::new(move |uri: &str| roots.check(uri).is_ok());
    let listener = listen(args.port).await?;
    let url = format!("http://{}/", listener.local_addr().context("cannot read the port")?);
    note(format_args!("the pages of {} are at {url}; Ctrl-C ends this", store.url()));
    if args.open
        && let Err(error) = open::that_detached(&url)
    {
        note(format_args!("the browser cannot be opened ({error}): open {url} yourself"));
    }
    let site = Arc::new(Site::new(store, allows, None));
    let access = Access { sign_in: None, local_names_only: true };
    tokio::select! {
        served = dqa_site::serve(listener, site, access, std::future::pending()) => {
            served.context("cannot serve the pages")?;
            bail!("the port was closed");
        }
        signal = StopSignal::wait() => Ok(match signal? {
            StopSignal::Interrupt => ExitStatus::All,
            signal => signal.exit_status(),
        }),
    }
}

/// Binds the port, or any free one if none was asked for and the usual one is in use.
async fn listen(port: Option<u16>) -> anyhow::Result<TcpListener> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match (TcpListener::bind(address(port.unwrap_or(PORT))).await, port) {
        (Err(error), None) if error.kind() == ErrorKind::AddrInUse => {
            TcpListener::bind(address(0)).await.context("cannot listen on this machine")
        }
        (bound, _) => bound.with_context(|| format!("cannot listen on port {}", port.unwrap_or(PORT))),
    }
}
