//! The configuration file, which both programs read. Its values are inserted as arguments before the given ones, so
//! that there is one parser and one set of checks. A flag takes precedence over the environment, and the environment
//! over the file. A program does not look at the sections of the other one's commands.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{Arg, ArgAction, Command};
use dqa_pipelines::names::{similar_names, suggestion};
use toml::{Table, Value};

use super::{note, with_hint};

/// Flags that exclude each other: one on the command line or in the environment overrides the other's value.
const EXCLUSIVE: [(&str, &str); 2] = [("prompts", "handcrafted"), ("handcrafted", "prompts")];

/// The commands of both programs: the sections that a configuration file may have. A test of the whole system compares
/// them with the programs' own commands.
pub const SECTIONS: [(&str, &[&str]); 2] = [
    (
        "dqa-coord",
        &[
            "submit",
            "train",
            "trainings",
            "dataset",
            "model",
            "metrics",
            "import-scores",
            "demo",
            "explain",
            "report",
            "leaderboard",
            "compare",
            "query",
            "runs",
            "status",
            "store",
            "verify",
            "view",
            "site",
            "export",
            "study",
            "self-check",
            "serve",
            "workers",
            "cancel",
            "pause",
            "resume",
            "retry",
        ],
    ),
    ("dqa-worker", &["score", "run"]),
];

/// Returns `arguments` with the values of the command's section of the configuration file inserted after its words.
pub(super) fn with_file(program: &Command, arguments: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    let Some(path) = config_path(&arguments) else {
        return Ok(arguments);
    };
    let words = command_words(program, &arguments);
    if words.is_empty() {
        return Ok(arguments);
    }
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read the configuration {shown}"))?;
    let tables: Table = text.parse().with_context(|| format!("the configuration {shown} is not valid TOML"))?;
    check_sections(program, &tables, &shown)?;
    let (mut command, mut table) = (program, Some(&tables));
    for (_, name) in &words {
        command = command.find_subcommand(name).expect("the word is a command's name");
        table = table.and_then(|table| table.get(*name)?.as_table());
    }
    let values = table.map_or(Ok(Vec::new()), |table| to_arguments(command, table, &arguments, &shown))?;
    let after = words.last().map_or(0, |(index, _)| index + 1);
    let mut all = arguments;
    all.splice(after..after, values);
    Ok(all)
}

/// Checks that all sections are those of commands.
fn check_sections(program: &Command, tables: &Table, shown: &str) -> anyhow::Result<()> {
    for (name, table) in tables {
        let is_known = is_section(program, name);
        if !table.is_table() {
            return Err(outside_section(name, is_known, shown));
        }
        if !is_known {
            let all = SECTIONS.iter().flat_map(|(_, names)| names.iter().copied());
            let similar = suggestion(&similar_names(name, all));
            let error = anyhow!("the configuration {shown} has an unknown section `{name}`{similar}");
            let hint =
                "a section has the name of a command of dqa-coord or dqa-worker, for example [submit] or [score]";
            return Err(with_hint(error, hint));
        }
    }
    Ok(())
}

/// Returns whether a section belongs to a command of this program or of the other one.
fn is_section(program: &Command, name: &str) -> bool {
    program.get_subcommands().any(|command| command.get_name() == name)
        || SECTIONS.iter().any(|(_, commands)| commands.contains(&name))
}

/// Returns the error of a key that is above all sections.
fn outside_section(name: &str, is_section: bool, shown: &str) -> anyhow::Error {
    if is_section {
        let error = anyhow!("`{name}` in the configuration {shown} is a section, not a key");
        return with_hint(error, format!("write `[{name}]`, and below it a line for each flag of `{name}`"));
    }
    let error = anyhow!("`{name}` in the configuration {shown} is outside a section");
    with_hint(error, "put it below a line with a command's name, for example [submit] or [score]")
}

/// Returns the program's parser for these `arguments`. It ignores variables that are empty or turn a switch off, which
/// clap would take as given, and those that a flag on the command line excludes.
pub(super) fn parser(program: Command, arguments: &[OsString]) -> Command {
    let words = command_words(&program, arguments);
    let names: Vec<String> = words.iter().map(|(_, name)| (*name).to_owned()).collect();
    with_variables(program, &names, arguments)
}

fn with_variables(command: Command, names: &[String], arguments: &[OsString]) -> Command {
    let command = command.mut_args(|arg| {
        let excluded = EXCLUSIVE.iter().any(|(own, other)| arg.get_long() == Some(own) && is_flag(arguments, other));
        if excluded || is_empty(&arg) || is_off(&arg) { arg.env(None::<&'static str>) } else { arg }
    });
    match names {
        [] => command,
        [name, inner @ ..] => command.mut_subcommand(name, |command| with_variables(command, inner, arguments)),
    }
}

/// Returns the name of the command in `arguments`, `store` for `store check`.
pub(super) fn command_name<'a>(program: &'a Command, arguments: &[OsString]) -> Option<&'a str> {
    command_words(program, arguments).first().map(|(_, name)| *name)
}

/// Returns the words of the command in `arguments`, such as `store` and `check`, with their indices. An alias is the command's own
/// name.
pub(super) fn command_words<'a>(program: &'a Command, arguments: &[OsString]) -> Vec<(usize, &'a str)> {
    let mut words: Vec<(usize, &str)> = Vec::new();
    let mut command = program;
    loop {
        let first = words.last().map_or(1, |(index, _)| index + 1);
        let is_value = |index: usize| takes_value(program, command, &arguments[index - 1]);
        let word = (first..arguments.len())
            .filter(|index| !is_value(*index))
            .find_map(|index| Some((index, command.find_subcommand(arguments[index].to_str()?)?)));
        let Some((index, inner)) = word else { return words };
        words.push((index, inner.get_name()));
        command = inner;
    }
}

/// Returns whether an argument is a flag whose value is the next argument: a file or a run may have a command's name.
fn takes_value(program: &Command, command: &Command, argument: &OsString) -> bool {
    let flag = argument.to_str().and_then(|argument| argument.strip_prefix("--"));
    let mut args = program.get_arguments().chain(command.get_arguments());
    flag.is_some_and(|flag| args.any(|arg| arg.get_long() == Some(flag) && arg.get_action().takes_values()))
}

/// Returns whether a flag is on the command line.
pub(super) fn is_flag(arguments: &[OsString], key: &str) -> bool {
    let flag = format!("--{key}");
    let with_value = format!("--{key}=");
    arguments.iter().any(|a| a.to_str().is_some_and(|a| a == flag || a.starts_with(&with_value)))
}

/// Returns the old names of a flag: its hidden aliases.
pub(super) fn old_flags(arg: &Arg) -> impl Iterator<Item = &str> {
    arg.get_aliases().unwrap_or_default().into_iter()
}

/// Returns the value of an argument's environment variable unless it is empty.
fn variable(arg: &Arg) -> Option<OsString> {
    arg.get_env().and_then(std::env::var_os).filter(|value| !value.is_empty())
}

/// Returns whether an argument's environment variable is set and empty.
fn is_empty(arg: &Arg) -> bool {
    arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty())
}

/// Returns whether the environment turns a switch off.
fn is_off(switch: &Arg) -> bool {
    let parse = |value: OsString| BoolishValueParser::new().parse_ref(&Command::new(""), None, &value).ok();
    !switch.get_action().takes_values() && variable(switch).and_then(parse) == Some(false)
}

/// Returns the path of the configuration file, by the flag or the environment.
fn config_path(arguments: &[OsString]) -> Option<PathBuf> {
    let flag = arguments.iter().enumerate().find_map(|(i, a)| match a.to_str()? {
        "--config" => arguments.get(i + 1).cloned(),
        a => a.strip_prefix("--config=").map(OsString::from),
    });
    flag.or_else(|| std::env::var_os("DQA_CONFIG").filter(|v| !v.is_empty())).map(PathBuf::from)
}

fn to_arguments(command: &Command, table: &Table, given: &[OsString], shown: &str) -> anyhow::Result<Vec<OsString>> {
    let find_arg =
        |key: &str| command.get_arguments().find(|a| a.get_long() == Some(key) || old_flags(a).any(|old| old == key));
    let is_given = |arg: &Arg| {
        let is_on_line = arg.get_long().is_some_and(|flag| is_flag(given, flag));
        is_on_line || old_flags(arg).any(|old| is_flag(given, old)) || variable(arg).is_some()
    };
    let is_on =
        |key: &str| is_flag(given, key) || find_arg(key).is_some_and(|arg| variable(arg).is_some() && !is_off(arg));
    let mut arguments = Vec::new();
    for (key, value) in table {
        if command.find_subcommand(key).is_some() {
            match value {
                Value::Table(_) => continue,
                _ => return Err(outside_section(&format!("{}.{key}", command.get_name()), true, shown)),
            }
        }
        let Some(arg) = find_arg(key) else {
            let similar = suggestion(&similar_names(key, command.get_arguments().filter_map(Arg::get_long)));
            let error = anyhow!("the configuration {shown} has an unknown key `{key}`{similar}");
            let inner: Vec<String> = command
                .get_subcommands()
                .map(|inner| format!("[{}.{}]", command.get_name(), inner.get_name()))
                .collect();
            let hint = "keys are the flags that `--help` lists, without the dashes";
            return Err(match inner.is_empty() {
                true => with_hint(error, hint),
                false => with_hint(error, format!("{hint}; the sections of its commands are {}", inner.join(", "))),
            });
        };
        let excluded = EXCLUSIVE.iter().any(|(own, other)| own == key && is_on(other));
        if is_given(arg) || excluded {
            continue;
        }
        if let Some(new) = arg.get_long().filter(|new| new != key) {
            note(format_args!("warning: the key `{key}` in the configuration {shown} is now `{new}`"));
        }
        match value {
            Value::Boolean(is_on) if !arg.get_action().takes_values() => {
                arguments.extend(is_on.then(|| OsString::from(format!("--{key}"))));
            }
            value => {
                let values = values(arg, value).map_err(|expected| {
                    anyhow!("`{key}` in the configuration {shown} takes {expected}, and is {}", kind(value))
                })?;
                arguments.extend(values.into_iter().map(|value| OsString::from(format!("--{key}={value}"))));
            }
        }
    }
    Ok(arguments)
}

/// Returns the texts of a flag's value: one, or those of an array for a flag that takes a list.
///
/// # Errors
/// If the flag does not take such a value, with what it takes.
fn values(arg: &Arg, value: &Value) -> Result<Vec<String>, &'static str> {
    let takes_list = matches!(arg.get_action(), ArgAction::Append);
    let expected = match (arg.get_action().takes_values(), takes_list) {
        (false, _) => "true or false",
        (true, false) => "a text or a number",
        (true, true) => "a text, a number, or an array of them that is not empty",
    };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    };
    let texts = match value {
        _ if !arg.get_action().takes_values() => None,
        Value::Array(all) if takes_list && !all.is_empty() => all.iter().map(text).collect(),
        value => text(value).map(|text| vec![text]),
    };
    texts.ok_or(expected)
}

/// Returns the kind of a value, for a message.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(all) if all.is_empty() => "an empty array",
        Value::Array(_) => "an array",
        Value::Table(_) => "a section",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let list = Arg::new("algos").long("algos").action(ArgAction::Append).value_delimiter(',');
        let submit = Command::new("submit").arg(list).arg(Arg::new("dtype").long("dtype"));
        let switch = Arg::new("windows").long("windows").action(ArgAction::SetTrue);
        Command::new("dqa-coord").subcommand(submit.arg(switch))
    }

    #[test]
    fn a_command_of_a_command_has_a_section_within_its_section() {
        let program = || {
            let store = || Arg::new("store").long("store").env("DQA_TEST_STORE_OF_RUNS");
            let rm =
                Command::new("rm").arg(Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue)).arg(store());
            Command::new("dqa-coord").subcommand(Command::new("runs").arg(store()).subcommand(rm))
        };
        let all = |text: &str, more: &[&str]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let config = format!("--config={}", file.path().display());
            let arguments = ["dqa-coord", &config].iter().chain(more).map(OsString::from).collect();
            let all = with_file(&program(), arguments).map_err(|error| error.to_string())?;
            Ok::<_, String>(all[2..].iter().map(|argument| argument.to_str().unwrap().to_owned()).collect::<Vec<_>>())
        };
        let text = "[runs]\nstore = \"a\"\n[runs.rm]\nstore = \"b\"\ndry-run = true\n";
        assert_eq!(all(text, &["runs"]).unwrap(), ["runs", "--store=a"]);
        let words = all(text, &["runs", "rm", "r"]).unwrap();
        assert_eq!(words, ["runs", "rm", "--dry-run", "--store=b", "r"]);
        assert_eq!(all(text, &["runs", "--store", "rm"]).unwrap(), ["runs", "--store", "rm"]);
        let wrong = all("[runs]\nrm = 1\n", &["runs"]).unwrap_err();
        assert!(
            wrong.starts_with("`runs.rm` in the configuration") && wrong.ends_with("is a section, not a key"),
            "{wrong}"
        );
        assert!(all("[runs.rm]\ndry = true\n", &["runs", "rm"]).unwrap_err().contains("unknown key `dry`"));
    }

    /// Returns the arguments that a file's text adds to `submit`, or the error and its hint.
    fn added(text: &str) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let name = file.path().to_str().unwrap();
        let arguments = ["dqa-coord", "--config", name, "submit"].map(OsString::from).to_vec();
        let all = with_file(&program(), arguments).map_err(|error| error.to_string().replace(name, "FILE"))?;
        Ok(all[4..].iter().map(|argument| argument.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn both_programs_have_one_file() {
        let text = "[submit]\ndtype = \"bf16\"\n[score]\nanything = 1\n[run]\nslots = 2\n[serve]\n";
        assert_eq!(added(text).unwrap(), ["--dtype=bf16"]);
        assert_eq!(
            added("[scores]\n").unwrap_err(),
            "the configuration FILE has an unknown section `scores`; similar names: score, store"
        );
        let mistyped = added("[submit]\ndtyp = \"bf16\"\n").unwrap_err();
        assert_eq!(mistyped, "the configuration FILE has an unknown key `dtyp`; similar names: dtype");
        let outside = added("dtype = \"x\"\n").unwrap_err();
        assert_eq!(outside, "`dtype` in the configuration FILE is outside a section");
    }

    #[test]
    fn a_list_is_an_array_or_a_text() {
        assert_eq!(added("[submit]\nalgos = [\"dcp\", \"aod\"]\n").unwrap(), ["--algos=dcp", "--algos=aod"]);
        assert_eq!(added("[submit]\nalgos = \"dcp,aod\"\n").unwrap(), ["--algos=dcp,aod"]);
        for (text, wrong) in [
            ("algos = []", "takes a text, a number, or an array of them that is not empty, and is an empty array"),
            ("algos = [[1]]", "takes a text, a number, or an array of them that is not empty, and is an array"),
            ("dtype = [\"bf16\"]", "takes a text or a number, and is an array"),
            ("windows = [true]", "takes true or false, and is an array"),
        ] {
            let error = added(&format!("[submit]\n{text}\n")).unwrap_err();
            assert!(error.ends_with(wrong), "{error}");
        }
    }
}
