//! The configuration file. Its values are inserted as arguments before the given ones, so that there is one parser and
//! one set of checks. A flag takes precedence over the environment, and the environment over the file.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{Arg, Command};
use toml::{Table, Value};

use super::{note, with_hint};

/// Flags that exclude each other: one on the command line or in the environment overrides the other's value.
const EXCLUSIVE: [(&str, &str); 2] = [("prompts", "handcrafted"), ("handcrafted", "prompts")];

/// Returns `arguments` with the configuration file's values inserted after the command's name.
pub(super) fn with_file(program: &Command, arguments: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    let Some(path) = config_path(&arguments) else {
        return Ok(arguments);
    };
    let Some(index) = command_index(program, &arguments) else {
        return Ok(arguments);
    };
    let command = arguments[index].to_str().and_then(|name| program.find_subcommand(name));
    let command = command.expect("the index is that of a command's name");
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read the configuration {shown}"))?;
    let tables: Table = text.parse().with_context(|| format!("the configuration {shown} is not valid TOML"))?;
    let mut all = arguments[..=index].to_vec();
    for (name, table) in &tables {
        let Value::Table(table) = table else {
            let error = anyhow!("`{name}` in the configuration {shown} is outside a section");
            return Err(with_hint(error, "put it below a line with a command's name, for example [score]"));
        };
        if !program.get_subcommands().any(|c| c.get_name() == name) {
            let error = anyhow!("the configuration {shown} has an unknown section `{name}`");
            return Err(with_hint(error, "a section has the name of a command, for example [score]"));
        }
        if name == command.get_name() {
            all.extend(to_arguments(command, table, &arguments, &shown)?);
        }
    }
    all.extend_from_slice(&arguments[index + 1..]);
    Ok(all)
}

/// Returns the program's parser for these `arguments`. It ignores variables that are empty or turn a switch off, which
/// clap would take as given, and those that a flag on the command line excludes.
pub(super) fn parser(program: Command, arguments: &[OsString]) -> Command {
    let without_variable = |arg: Arg| arg.env(None::<&'static str>);
    let program = program.mut_args(|arg| if is_empty(&arg) { without_variable(arg) } else { arg });
    let Some(name) = command_name(&program, arguments) else {
        return program;
    };
    program.mut_subcommand(name, |command| {
        command.mut_args(|arg| {
            let excluded =
                EXCLUSIVE.iter().any(|(own, other)| arg.get_long() == Some(own) && is_flag(arguments, other));
            if excluded || is_empty(&arg) || is_off(&arg) { without_variable(arg) } else { arg }
        })
    })
}

/// Returns the name of the command in `arguments`.
pub(super) fn command_name<'a>(program: &Command, arguments: &'a [OsString]) -> Option<&'a str> {
    arguments[command_index(program, arguments)?].to_str()
}

/// Returns the index of the command's name. A configuration file may have the same name.
fn command_index(program: &Command, arguments: &[OsString]) -> Option<usize> {
    let is_name = |index: &usize| program.get_subcommands().any(|c| arguments[*index] == c.get_name());
    (1..arguments.len()).filter(|index| arguments[index - 1] != "--config").find(is_name)
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
        let Some(arg) = find_arg(key) else {
            let error = anyhow!("the configuration {shown} has an unknown key `{key}`");
            return Err(with_hint(error, "keys are the flags that `--help` lists, without the dashes"));
        };
        let excluded = EXCLUSIVE.iter().any(|(own, other)| own == key && is_on(other));
        if is_given(arg) || excluded {
            continue;
        }
        if let Some(new) = arg.get_long().filter(|new| new != key) {
            note(format_args!("warning: the key `{key}` in the configuration {shown} is now `{new}`"));
        }
        let takes_value = arg.get_action().takes_values();
        let value = match value {
            Value::Boolean(true) if !takes_value => {
                arguments.push(OsString::from(format!("--{key}")));
                continue;
            }
            Value::Boolean(false) if !takes_value => continue,
            Value::String(text) if takes_value => text.clone(),
            Value::Integer(number) if takes_value => number.to_string(),
            Value::Float(number) if takes_value => number.to_string(),
            _ => bail!("`{key}` in the configuration {shown} has a value of the wrong type"),
        };
        arguments.push(OsString::from(format!("--{key}={value}")));
    }
    Ok(arguments)
}
