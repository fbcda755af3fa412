//! `--coordinator` for commands that a coordinator has no part in: a refusal that says so. `DQA_COORDINATOR`, which is
//! exported for the commands that have a use for it, does not concern them.

use clap::Arg;
use dqa_service::program::note;

/// The flag, which takes nothing.
pub(super) fn coordinator() -> Arg {
    let refuse = |_: &str| -> Result<String, &'static str> {
        Err("this command works on this machine, and a coordinator has no part in it; leave out --coordinator")
    };
    Arg::new("refused_coordinator").long("coordinator").value_name("URL").hide(true).value_parser(refuse)
}

/// Says which store is read, where a coordinator is named for other commands.
pub(super) fn say_store(store: &str) {
    if let Some(coordinator) = std::env::var_os("DQA_COORDINATOR").filter(|url| !url.is_empty()) {
        note(format_args!("reads the store {store} from here, and not by the coordinator {}", coordinator.display()));
    }
}
