//! The help of a command: its flags in groups, the required ones first, in a layout that fits screens of 80 columns and 48
//! lines. `-h` fits one screen: it shows the first sentence of each flag, and only names the groups that few people need.
//! `--help` fits two and shows all.
//!
//! clap gives each flag of its long help four lines or more, and has no help without its groups; parsing, usage and errors
//! are clap's.

use std::ffi::OsString;
use std::fmt::Write;

use clap::builder::{StyledStr, styling::Style};
use clap::{Arg, ArgAction, Command};
use dqa_pipelines::result_page::{TEXT_WIDTH, indented};

/// Lines of a screen: `-h` has at most one screen, and `--help` at most two.
pub const SCREEN_LINES: usize = 48;

/// The most lines below the flags.
const FOOT_LINES: usize = 10;

/// Indent of the second and further lines of a flag. Descriptions begin beside their flags: a column of them would be narrow,
/// and take a third more lines.
const INDENT: usize = 6;

/// Headings of groups of flags. Flags without a heading belong to one command alone.
pub mod headings {
    /// The model and its prompts.
    pub const MODEL: &str = "Model";
    /// The share of the machine that a command may use.
    pub const MACHINE: &str = "Machine";
    /// The largest pictures that are scored.
    pub const LIMITS: &str = "Limits of pictures";
    /// How correlations and comparisons are computed.
    pub const STATISTICS: &str = "Statistics";
    /// The settings of a training.
    pub const TRAINING: &str = "Training";
    /// The splits of a training.
    pub const SPLITS: &str = "Splits";
    /// The columns of a table.
    pub const TABLE: &str = "Columns of the table";
    /// The coordinator that a command is sent to.
    pub const COORDINATOR: &str = "Coordinator";
    /// Tokens and certificates.
    pub const SECURITY: &str = "Tokens and certificates";
    /// What few runs need.
    pub const RARE: &str = "Rarely needed";
}

/// The groups that `-h` only names.
const ONLY_IN_FULL: [&str; 7] = [
    headings::MACHINE,
    headings::LIMITS,
    headings::STATISTICS,
    headings::TRAINING,
    headings::TABLE,
    headings::SECURITY,
    headings::RARE,
];

const VARIABLES: &str = "Each flag is also a key in the command's section of a configuration file (--config), and a variable of \
    the environment: DQA_STORE for --store, and so on, unless [env: NAME] gives another name. A flag wins over the \
    environment, and the environment over the file.";

/// Gives the commands of a program this help if `arguments` ask for help.
pub(super) fn with_help(program: Command, arguments: &[OsString]) -> Command {
    let asks = |text: &str| arguments.iter().any(|argument| argument == text);
    let is_full = asks("--help") || arguments.get(1).is_some_and(|first| first == "help");
    let program = program.max_term_width(TEXT_WIDTH);
    if is_full || asks("-h") { with_texts_of_commands(built(program), is_full) } else { program }
}

/// Returns the program with the flags that every command has.
fn built(mut program: Command) -> Command {
    program.build();
    program
}

/// Gives the commands of a program, and those within them, their texts.
fn with_texts_of_commands(command: Command, is_full: bool) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let with_text = |inner: Command| {
        let header = *inner.get_styles().get_header();
        let text = text(&mut inner.clone(), is_full, &header);
        with_texts_of_commands(inner.override_help(StyledStr::from(text)), is_full)
    };
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_text))
}

/// The help of each command of a program, with the command's words: for tests of all of them.
pub fn all(program: Command, is_full: bool) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut program = built(program.max_term_width(TEXT_WIDTH));
    all.push((program.get_name().to_owned(), program.render_long_help().to_string()));
    collect(&program, program.get_name(), is_full, &mut all);
    all
}

fn collect(command: &Command, words: &str, is_full: bool, all: &mut Vec<(String, String)>) {
    for inner in inner_commands(command) {
        let words = format!("{words} {}", inner.get_name());
        let text = text(&mut inner.clone(), is_full, &Style::new());
        all.push((words.clone(), text));
        collect(inner, &words, is_full, all);
    }
}

/// Iterates over the commands of a command, except for clap's `help`.
fn inner_commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| inner.get_name() != "help")
}

/// Returns the help of a command.
fn text(command: &mut Command, is_full: bool, header: &Style) -> String {
    let usage = command.render_usage().to_string();
    let command = &*command;
    let mut text = String::new();
    let about = command.get_long_about().filter(|_| is_full).or(command.get_about());
    push_wrapped(&mut text, &about.map(ToString::to_string).unwrap_or_default(), 0);
    text.push('\n');
    push_wrapped(&mut text, &usage, 7);
    text.push('\n');
    let mut only_named = Vec::new();
    let mut shown = Vec::new();
    if inner_commands(command).next().is_some() {
        let mut group = format!("{header}Commands:{header:#}\n");
        for inner in inner_commands(command) {
            let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
            group += &indented(&format!("  {}  ", inner.get_name()), &about, INDENT);
        }
        shown.push(group);
    }
    for (heading, args) in groups(command) {
        if !is_full && ONLY_IN_FULL.contains(&heading) {
            only_named.push(format!("{heading} ({})", args.len()));
            continue;
        }
        let mut group = String::new();
        let _ = writeln!(group, "{header}{heading}:{header:#}");
        args.iter()
            .filter(|arg| is_full || !arg.is_hide_short_help_set())
            .for_each(|arg| push_arg(&mut group, arg, is_full));
        shown.push(group);
    }
    // Groups are apart where the screens have room for it.
    let lines = text.lines().count() + shown.iter().map(|group| group.lines().count() + 1).sum::<usize>() + FOOT_LINES;
    let is_roomy = lines <= if is_full { 2 * SCREEN_LINES } else { SCREEN_LINES };
    text += &shown.join(if is_roomy { "\n" } else { "" });
    text.push('\n');
    if is_full {
        push_wrapped(&mut text, VARIABLES, 0);
        if let Some(after) = command.get_after_help() {
            push_wrapped(&mut text, &after.to_string(), 0);
        }
    } else {
        let more =
            if only_named.is_empty() { String::new() } else { format!(" and more flags: {}", only_named.join(", ")) };
        push_wrapped(&mut text, &format!("`--help` has more about each flag{more}."), 0);
    }
    text
}

/// Returns the shown arguments by their groups: the required ones, those of the command alone, and the others in the order
/// in which the command has them.
fn groups(command: &Command) -> Vec<(&str, Vec<&Arg>)> {
    let mut groups: Vec<(&str, Vec<&Arg>)> = vec![("Required", Vec::new()), ("Options", Vec::new())];
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let heading = match arg.get_help_heading() {
            _ if arg.is_required_set() => "Required",
            _ if is_of_every_command(arg) => "Options",
            heading => heading.unwrap_or("Options"),
        };
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, args)) => args.push(arg),
            None => groups.push((heading, vec![arg])),
        }
    }
    for (_, args) in &mut groups {
        args.sort_by_key(|arg| (!arg.is_positional(), is_of_every_command(arg)));
    }
    groups.retain(|(_, args)| !args.is_empty());
    groups
}

fn is_of_every_command(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "config" | "help")
}

fn push_arg(text: &mut String, arg: &Arg, is_full: bool) {
    let name = format!("  {}  ", arg_name(arg));
    let description = if is_full { full_description(arg) } else { first_sentence(&description(arg)) };
    *text += &indented(&name, &description, INDENT);
    let values = arg.get_possible_values();
    // A required word decides what the command does.
    if is_full && arg.is_required_set() && arg.is_positional() && values.iter().any(|value| value.get_help().is_some())
    {
        for value in values.iter().filter(|value| !value.is_hide_set()) {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            let name = format!("    {}  ", value.get_name());
            *text += &indented(&name, &help, INDENT + 2);
        }
    }
}

/// Returns a flag with its value, `--store URL`, or the name of a positional argument, `RUN`.
fn arg_name(arg: &Arg) -> String {
    if arg.get_id() == "help" {
        return "-h, --help".to_owned();
    }
    let own = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let value = own.unwrap_or_else(|| arg.get_id().to_string().to_uppercase());
    match arg.get_long() {
        None if matches!(arg.get_action(), ArgAction::Append) => format!("{value}..."),
        None => value,
        Some(long) if arg.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
    }
}

fn description(arg: &Arg) -> String {
    if arg.get_id() == "help" {
        return "Print help: -h one screen, --help everything".to_owned();
    }
    arg.get_help().map(ToString::to_string).unwrap_or_default()
}

/// Returns what a flag is, its values, its default, and its variable if that has another name than the flag.
fn full_description(arg: &Arg) -> String {
    let mut text = description(arg);
    let values: Vec<String> = if arg.is_hide_possible_values_set() || !arg.get_action().takes_values() {
        Vec::new()
    } else {
        let shown = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
        shown.map(|value| value.get_name().to_owned()).collect()
    };
    if !values.is_empty() && !arg.is_positional() {
        let _ = write!(text, " [{}]", values.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = write!(text, " [default: {}]", defaults.join(","));
    }
    let usual = arg.get_long().map(|long| format!("DQA_{}", long.to_uppercase().replace('-', "_")));
    if let Some(variable) =
        arg.get_env().map(|name| name.to_string_lossy()).filter(|name| usual.as_deref() != Some(name))
    {
        let _ = write!(text, " [env: {variable}]");
    }
    text
}

/// Returns the first sentence of a text, without what brackets add to it.
fn first_sentence(text: &str) -> String {
    let text = text.split_once(" [").map_or(text, |(before, _)| before);
    let ends = text.match_indices(". ").find(|(at, _)| text[at + 2..].starts_with(|c: char| c.is_ascii_uppercase()));
    ends.map_or(text, |(at, _)| &text[..at]).to_owned()
}

fn push_wrapped(out: &mut String, text: &str, indent: usize) {
    text.lines().for_each(|line| *out += &indented("", line, indent));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let store = Arg::new("store").long("store").env("DQA_STORE").value_name("URL").help("Store. It is a folder");
        let name = Arg::new("name").long("name").env("DQA_RUN_NAME").value_name("RUN").help("Name [default: made up]");
        let threads = Arg::new("threads").long("threads").help_heading(headings::MACHINE).help("Threads");
        let run = Arg::new("run").required(true).value_name("RUN").help("Run");
        Command::new("p").subcommand(Command::new("c").about("Does it").args([store, name, threads, run]))
    }

    fn help(is_full: bool) -> String {
        all(command(), is_full).into_iter().find(|(words, _)| words == "p c").unwrap().1
    }

    #[test]
    fn required_arguments_come_first_and_other_names_of_variables_are_shown() {
        let full = help(true);
        let place = |text: &str| full.find(text).unwrap_or_else(|| panic!("{text} is missing:\n{full}"));
        assert!(place("Required:") < place("Options:") && place("Options:") < place("Machine:"), "{full}");
        assert!(full.contains("\n  --store URL  Store. It is a folder\n"), "{full}");
        assert!(full.contains("Name [default: made up] [env: DQA_RUN_NAME]\n"), "{full}");
        assert!(full.contains("--threads THREADS"), "{full}");
    }

    #[test]
    fn the_short_help_names_the_groups_that_it_leaves_out() {
        let short = help(false);
        assert!(short.contains("\n  --store URL  Store\n"), "{short}");
        assert!(short.contains("\n  --name RUN  Name\n"), "{short}");
        assert!(!short.contains("--threads") && short.contains("more flags: Machine (1)."), "{short}");
    }
}
