//! Environment variables and flags with a new name. The old names stood for different things, or are easily taken for others.
//! They still work for a release, and the program warns of each that it uses. A flag's old names are its hidden aliases.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

use super::config::{command_name, is_flag, old_flags};

/// A flag's variable with its new and its old name.
struct RenamedVariable {
    flag: &'static str,
    new: &'static str,
    old: &'static str,
}

/// The flag tells `--token-file` of `dqa-worker run`, whose old name works, from `--worker-token-file` of `dqa-coord serve`,
/// whose variable always had its name.
const RENAMED: [RenamedVariable; 11] = [
    RenamedVariable { flag: "seed", new: "DQA_BOOTSTRAP_SEED", old: "DQA_SEED" },
    RenamedVariable { flag: "seed", new: "DQA_TRAIN_SEED", old: "DQA_SEED" },
    RenamedVariable { flag: "seed", new: "DQA_DEMO_SEED", old: "DQA_SEED" },
    RenamedVariable { flag: "name", new: "DQA_RUN_NAME", old: "DQA_NAME" },
    RenamedVariable { flag: "name", new: "DQA_STUDY_NAME", old: "DQA_NAME" },
    RenamedVariable { flag: "name", new: "DQA_DATASET_NAME", old: "DQA_NAME" },
    RenamedVariable { flag: "token-file", new: "DQA_USER_TOKEN_FILE", old: "DQA_TOKEN_FILE" },
    RenamedVariable { flag: "token-file", new: "DQA_WORKER_TOKEN_FILE", old: "DQA_TOKEN_FILE" },
    RenamedVariable { flag: "only-splits", new: "DQA_ONLY_SPLITS", old: "DQA_SPLIT" },
    RenamedVariable { flag: "splits-file", new: "DQA_SPLITS_FILE", old: "DQA_SPLITS" },
    RenamedVariable { flag: "new-splits", new: "DQA_NEW_SPLITS", old: "DQA_SPLIT_COUNT" },
];

/// Makes the flags of the command in `arguments` read old variables that are set while the new ones are not. Returns the
/// program's parser, and a warning for each old variable that decides a flag's value and for each flag's old name.
pub(super) fn read_old_names(program: Command, arguments: &[OsString]) -> (Command, Vec<String>) {
    let Some(name) = command_name(&program, arguments).map(str::to_owned) else {
        return (program, Vec::new());
    };
    let command = program.find_subcommand(&name).expect("the name is that of a command");
    let mut warnings: Vec<String> = command
        .get_arguments()
        .flat_map(|arg| old_flags(arg).map(|old| (old, arg.get_long().unwrap_or_default())))
        .filter(|(old, _)| is_flag(arguments, old))
        .map(|(old, new)| format!("warning: --{old} of {name} is now --{new}"))
        .collect();
    let program = program.mut_subcommand(&name, |command| {
        command.mut_args(|arg| match used_old_name(&arg, |name| std::env::var_os(name)) {
            Some(RenamedVariable { flag, new, old }) => {
                if !is_flag(arguments, flag) && !old_flags(&arg).any(|old| is_flag(arguments, old)) {
                    warnings
                        .push(format!("warning: the environment variable {old} is now {new} for --{flag} of {name}"));
                }
                arg.env(*old)
            }
            None => arg,
        })
    });
    (program, warnings)
}

/// Returns the renamed variable of a flag if the old name is set and the new one is not.
fn used_old_name(arg: &Arg, variable: impl Fn(&OsStr) -> Option<OsString>) -> Option<&'static RenamedVariable> {
    let (flag, new) = (arg.get_long()?, arg.get_env()?);
    let renamed = RENAMED.iter().find(|renamed| renamed.flag == flag && renamed.new == new)?;
    let is_used = variable(new).is_none() && variable(renamed.old.as_ref()).is_some_and(|value| !value.is_empty());
    is_used.then_some(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old_name(flag: &'static str, new: &'static str, set: &[(&str, &str)]) -> Option<&'static str> {
        let variable = |name: &OsStr| set.iter().find(|(key, _)| name == *key).map(|(_, value)| value.into());
        used_old_name(&Arg::new("id").long(flag).env(new), variable).map(|renamed| renamed.old)
    }

    #[test]
    fn an_old_name_is_read_unless_the_new_one_is_set() {
        assert_eq!(old_name("seed", "DQA_TRAIN_SEED", &[("DQA_SEED", "1")]), Some("DQA_SEED"));
        assert_eq!(old_name("seed", "DQA_TRAIN_SEED", &[("DQA_SEED", "1"), ("DQA_TRAIN_SEED", "2")]), None);
        assert_eq!(old_name("seed", "DQA_TRAIN_SEED", &[("DQA_SEED", "")]), None);
        assert_eq!(old_name("seed", "DQA_TRAIN_SEED", &[]), None);
    }

    #[test]
    fn an_old_flag_is_named() {
        let command = Command::new("train").arg(Arg::new("only_splits").long("only-splits").alias("split"));
        let program = Command::new("program").subcommand(command);
        let warnings = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            read_old_names(program.clone(), &arguments).1
        };
        assert_eq!(warnings(&["p", "train", "--split", "1"]), ["warning: --split of train is now --only-splits"]);
        assert_eq!(warnings(&["p", "train", "--split=1"]).len(), 1);
        assert!(warnings(&["p", "train", "--only-splits", "1"]).is_empty());
    }

    #[test]
    fn the_users_token_is_not_taken_for_the_workers() {
        let set = [("DQA_TOKEN_FILE", "users.token")];
        assert_eq!(old_name("token-file", "DQA_WORKER_TOKEN_FILE", &set), Some("DQA_TOKEN_FILE"));
        assert_eq!(old_name("worker-token-file", "DQA_WORKER_TOKEN_FILE", &set), None);
    }
}
