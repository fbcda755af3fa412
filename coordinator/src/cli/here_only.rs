//! `--coordinator` for commands that a coordinator has no part in: a refusal that says so. `DQA_COORDINATOR`, which is
//! exported for the commands that have a use for it, does not concern them.

use clap::Arg;

/// The flag, which takes nothing.
pub(super) fn coordinator() -> Arg {
    let refuse = |_: &str| -> Result<String, &'static str> {
        Err("this command works on this machine, and a coordinator has no part in it; leave out --coordinator")
    };
    Arg::new("refused_coordinator").long("coordinator").value_name("URL").hide(true).value_parser(refuse)
}
