//! Commands that only run in this process refuse `--coordinator` with an error that says so. They ignore the variable
//! `DQA_COORDINATOR`, which is exported for the other commands.

use clap::Arg;
use dqa_service::program::note;

/// Returns a hidden `--coordinator` flag that accepts no value.
pub(super) fn coordinator_flag() -> Arg {
    refusing_flag(|_| Err("this command only runs on this machine, without a coordinator; leave out --coordinator"))
}

/// Returns the same for a command that reads a store.
pub(super) fn coordinator_flag_of_store_reader() -> Arg {
    refusing_flag(|_| {
        Err("this command only runs on this machine, without a coordinator; instead of --coordinator, give the \
             coordinator's store: --store PATH or URL, as `dqa-coord serve` has it")
    })
}

fn refusing_flag(refuse: fn(&str) -> Result<String, &'static str>) -> Arg {
    Arg::new("refused_coordinator").long("coordinator").value_name("URL").hide(true).value_parser(refuse)
}

/// Notes which store is read when `DQA_COORDINATOR` is set for other commands.
pub(super) fn note_store(url: &str) {
    if let Some(coordinator) = std::env::var_os("DQA_COORDINATOR").filter(|url| !url.is_empty()) {
        note(format_args!("reads the store {url} directly, not through the coordinator {}", coordinator.display()));
    }
}
