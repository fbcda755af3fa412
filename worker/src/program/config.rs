//! The configuration file: its values become arguments before the ones that were given, so that there is one parser
//! and one set of checks. A flag wins over the environment, and that over the file.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{Arg, Command};
use toml::{Table, Value};

use super::with_hint;

/// Settings that exclude each other: giving one on the command line or in the environment drops the other's value.
const EXCLUSIVE: [(&str, &str); 2] = [("prompts", "handcrafted"), ("handcrafted", "prompts")];

/// `arguments` with the configuration file's values put in after the command's name.
pub(super) fn with_file(program: &Command, arguments: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    let Some(path) = file_named_in(&arguments) else {
        return Ok(arguments);
    };
    let Some(place) = place_of_command(program, &arguments) else {
        return Ok(arguments);
    };
    let command = arguments[place].to_str().and_then(|name| program.find_subcommand(name));
    let command = command.expect("this is where a command's name is");
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read the configuration {shown}"))?;
    let tables: Table = text.parse().with_context(|| format!("the configuration {shown} is no TOML"))?;
    let mut all = arguments[..=place].to_vec();
    for (name, table) in &tables {
        let Value::Table(table) = table else {
            let error = anyhow!("`{name}` in the configuration {shown} is in no section");
            return Err(with_hint(error, "put it below a line with a command's name, as in [score]"));
        };
        if !program.get_subcommands().any(|c| c.get_name() == name) {
            let error = anyhow!("the configuration {shown} has an unknown section `{name}`");
            return Err(with_hint(error, "a section has the name of a command, as in [score]"));
        }
        if name == command.get_name() {
            all.extend(to_arguments(command, table, &arguments, &shown)?);
        }
    }
    all.extend_from_slice(&arguments[place + 1..]);
    Ok(all)
}

/// The program's parser for these `arguments`, as they were given. It does not look at variables that are empty or turn
/// a switch off, which for clap is to give it, nor at those that a flag on the command line excludes.
pub(super) fn parser(program: Command, arguments: &[OsString]) -> Command {
    let without_variable = |arg: Arg| arg.env(None::<&'static str>);
    let program = program.mut_args(|arg| if is_empty(&arg) { without_variable(arg) } else { arg });
    let Some(name) = name_of_command(&program, arguments) else {
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

/// The command that is asked for.
pub(super) fn name_of_command<'a>(program: &Command, arguments: &'a [OsString]) -> Option<&'a str> {
    arguments[place_of_command(program, arguments)?].to_str()
}

/// Where the command's name is; a configuration file may have the same.
fn place_of_command(program: &Command, arguments: &[OsString]) -> Option<usize> {
    let is_name = |place: &usize| program.get_subcommands().any(|c| arguments[*place] == c.get_name());
    (1..arguments.len()).filter(|place| arguments[place - 1] != "--config").find(is_name)
}

/// Whether a flag is on the command line.
pub(super) fn is_flag(arguments: &[OsString], key: &str) -> bool {
    let flag = format!("--{key}");
    let with_value = format!("--{key}=");
    arguments.iter().any(|a| a.to_str().is_some_and(|a| a == flag || a.starts_with(&with_value)))
}

/// The value of an argument's environment variable, if it has one that is not empty.
fn variable(arg: &Arg) -> Option<OsString> {
    arg.get_env().and_then(std::env::var_os).filter(|value| !value.is_empty())
}

/// Whether an argument's environment variable is there, and empty.
fn is_empty(arg: &Arg) -> bool {
    arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty())
}

/// Whether the environment turns this switch off.
fn is_off(switch: &Arg) -> bool {
    let said = |value: OsString| BoolishValueParser::new().parse_ref(&Command::new(""), None, &value).ok();
    !switch.get_action().takes_values() && variable(switch).and_then(said) == Some(false)
}

fn file_named_in(arguments: &[OsString]) -> Option<PathBuf> {
    let flag = arguments.iter().enumerate().find_map(|(i, a)| match a.to_str()? {
        "--config" => arguments.get(i + 1).cloned(),
        a => a.strip_prefix("--config=").map(OsString::from),
    });
    flag.or_else(|| std::env::var_os("DQA_CONFIG").filter(|v| !v.is_empty())).map(PathBuf::from)
}

fn to_arguments(command: &Command, table: &Table, given: &[OsString], shown: &str) -> anyhow::Result<Vec<OsString>> {
    let arg_of = |key: &str| command.get_arguments().find(|a| a.get_long() == Some(key));
    let is_given = |key: &str| is_flag(given, key) || arg_of(key).and_then(variable).is_some();
    let is_on =
        |key: &str| is_flag(given, key) || arg_of(key).is_some_and(|arg| variable(arg).is_some() && !is_off(arg));
    let mut arguments = Vec::new();
    for (key, value) in table {
        let Some(arg) = arg_of(key) else {
            let error = anyhow!("the configuration {shown} has an unknown key `{key}`");
            return Err(with_hint(error, "keys are the flags that `--help` lists, without the dashes"));
        };
        let excluded = EXCLUSIVE.iter().any(|(own, other)| own == key && is_on(other));
        if is_given(key) || excluded {
            continue;
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
            _ => bail!("`{key}` in the configuration {shown} has a value of the wrong kind"),
        };
        arguments.push(OsString::from(format!("--{key}={value}")));
    }
    Ok(arguments)
}
