//! The configuration file: its values become arguments before the ones that were given, so that there is one parser
//! and one set of checks. A flag wins over the environment, and that over the file.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::{Command, CommandFactory};
use toml::{Table, Value};

use super::advise;

/// Settings that exclude each other: giving one on the command line or in the environment drops the other's value.
const EXCLUSIVE: [(&str, &str); 2] = [("prompts", "handcrafted"), ("handcrafted", "prompts")];

/// `arguments` with the configuration file's values put in after the command's name.
pub(super) fn with_file(arguments: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    let Some(path) = file_named_in(&arguments) else {
        return Ok(arguments);
    };
    let program = super::Cli::command();
    let place = arguments.iter().position(|a| program.get_subcommands().any(|c| a == c.get_name()));
    let Some((place, command)) = place.and_then(|p| Some((p, program.find_subcommand(arguments[p].to_str()?)?))) else {
        return Ok(arguments);
    };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read the configuration {shown}"))?;
    let tables: Table = text.parse().with_context(|| format!("the configuration {shown} is no TOML"))?;
    let mut all = arguments[..=place].to_vec();
    for (name, table) in &tables {
        let Value::Table(table) = table else {
            let error = anyhow!("`{name}` in the configuration {shown} is in no section");
            return Err(advise(error, "put it below a line with a command's name, as in [score]"));
        };
        if !program.get_subcommands().any(|c| c.get_name() == name) {
            let error = anyhow!("the configuration {shown} has an unknown section `{name}`");
            return Err(advise(error, "a section has the name of a command, as in [score]"));
        }
        if name == command.get_name() {
            all.extend(to_arguments(command, table, &arguments, &shown)?);
        }
    }
    all.extend_from_slice(&arguments[place + 1..]);
    Ok(all)
}

fn file_named_in(arguments: &[OsString]) -> Option<PathBuf> {
    let flag = arguments.iter().enumerate().find_map(|(i, a)| match a.to_str()? {
        "--config" => arguments.get(i + 1).cloned(),
        a => a.strip_prefix("--config=").map(OsString::from),
    });
    flag.or_else(|| std::env::var_os("DQA_CONFIG").filter(|v| !v.is_empty())).map(PathBuf::from)
}

fn to_arguments(command: &Command, table: &Table, given: &[OsString], shown: &str) -> anyhow::Result<Vec<OsString>> {
    let flag_given = |key: &str| {
        let flag = format!("--{key}");
        let is_flag = |a: &OsString| a.to_str().is_some_and(|a| a == flag || a.starts_with(&format!("{flag}=")));
        let arg = command.get_arguments().find(|a| a.get_long() == Some(key));
        let in_env = arg.and_then(clap::Arg::get_env).and_then(std::env::var_os).is_some_and(|v| !v.is_empty());
        in_env || given.iter().any(is_flag)
    };
    let mut arguments = Vec::new();
    for (key, value) in table {
        let Some(arg) = command.get_arguments().find(|a| a.get_long() == Some(key.as_str())) else {
            let error = anyhow!("the configuration {shown} has an unknown key `{key}`");
            return Err(advise(error, "keys are the flags that `--help` lists, without the dashes"));
        };
        let excluded = EXCLUSIVE.iter().any(|(own, other)| own == key && flag_given(other));
        if flag_given(key) || excluded {
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
            _ => bail!("`{key}` in the configuration {shown} has a value of the wrong kind"),
        };
        arguments.push(OsString::from(format!("--{key}={value}")));
    }
    Ok(arguments)
}
