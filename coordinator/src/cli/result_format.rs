//! The flags that say in which form tables of results are shown: `--format`, `--wide`.

use std::io::IsTerminal;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_pipelines::result_page::{Emphasis, TableForm, TableStyle};

/// The form of results.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ResultFormatArgs {
    /// Format of the results.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = ResultFormat::Table)]
    pub(super) format: ResultFormat,

    /// Show all columns [default: those that fit 80 columns].
    #[arg(long, env = "DQA_WIDE", value_parser = BoolishValueParser::new())]
    pub(super) wide: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ResultFormat {
    /// A table for reading.
    Table,
    /// One JSON object per line.
    Json,
    /// CSV with a header.
    Csv,
    /// A table of Markdown for a document.
    Markdown,
    /// A table of LaTeX for a paper, with the package booktabs.
    Latex,
}

/// What is written: rows for a program, or tables for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResultForm {
    Json,
    Csv,
    Tables(TableStyle),
}

impl ResultFormatArgs {
    /// Returns the form that the flags stand for. The best values are bold on a terminal, unless NO_COLOR asks for plain
    /// text.
    pub(super) fn form(&self) -> ResultForm {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_bold = std::io::stdout().is_terminal() && !is_plain;
        let emphasis = if is_bold { Emphasis::Bold } else { Emphasis::Asterisk };
        let tables = |form| ResultForm::Tables(TableStyle { form, is_wide: self.wide, emphasis });
        match self.format {
            ResultFormat::Json => ResultForm::Json,
            ResultFormat::Csv => ResultForm::Csv,
            ResultFormat::Table => tables(TableForm::Text),
            ResultFormat::Markdown => tables(TableForm::Markdown),
            ResultFormat::Latex => tables(TableForm::Latex),
        }
    }
}
