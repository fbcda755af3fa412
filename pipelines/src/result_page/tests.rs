//! Tests of the layout of tables in each form.

use super::*;

fn cells(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn table(algorithm_bytes: usize) -> ResultTable {
    let name = "x".repeat(algorithm_bytes);
    ResultTable::new(
        "Board_1",
        vec![
            Column::left("algorithm", vec![name, "  a_b|c & 50%".to_owned()]),
            Column::right("score", cells(&["0.5000*", "-0.2500 "])).marked().meaning("the mean"),
            Column::right("p", cells(&["<0.0001", "-"])).left_out(1).meaning("the p-value"),
            Column::right("n", cells(&["7", "8"])).left_out(2),
        ],
    )
}

fn shown(table: &ResultTable, form: TableForm, is_wide: bool, emphasis: Emphasis) -> String {
    let mut page = ResultPage::new(TableStyle { form, is_wide, emphasis });
    page.table(table);
    page.note("a note");
    page.finish()
}

#[test]
fn columns_are_left_out_until_a_table_fits() {
    let all = shown(&table(20), TableForm::Text, false, Emphasis::Asterisk);
    assert!(all.contains(" score        p  n\n") && !all.contains("Not shown"), "{all}");
    let fewer = shown(&table(58), TableForm::Text, false, Emphasis::Asterisk);
    assert!(fewer.contains("Not shown (--wide shows all columns): n\n") && fewer.contains("the p-value"), "{fewer}");
    let fewest = shown(&table(65), TableForm::Text, false, Emphasis::Asterisk);
    assert!(fewest.contains("columns): p, n\n") && !fewest.contains("the p-value"), "{fewest}");
    for text in [&all, &fewer, &fewest] {
        assert!(text.lines().all(|line| line.chars().count() <= TEXT_WIDTH), "{text}");
    }
    let wide = shown(&table(65), TableForm::Text, true, Emphasis::Asterisk);
    assert!(wide.lines().any(|line| line.len() > TEXT_WIDTH) && !wide.contains("Not shown"), "{wide}");
}

#[test]
fn a_table_of_many_columns_is_broken_into_several() {
    let mut columns = vec![Column::left("metric", cells(&["m"]))];
    columns.extend((0..30).map(|index| Column::right(format!("algo{index}"), cells(&["0.5"]))));
    let text = shown(&ResultTable::new("", columns).broken_after(1), TableForm::Text, false, Emphasis::Asterisk);
    assert_eq!(text.matches("  metric").count(), 4, "{text}");
    assert!((0..30).all(|index| text.contains(&format!("algo{index}"))), "{text}");
    assert!(text.lines().all(|line| line.len() <= TEXT_WIDTH), "{text}");
}

#[test]
fn the_legend_and_the_notes_are_said_once() {
    let mut page = ResultPage::new(TableStyle::default());
    for _ in 0..2 {
        page.table(&table(5));
        page.note("a note");
    }
    let text = page.finish();
    assert_eq!((text.matches("the mean").count(), text.matches("a note").count()), (1, 1), "{text}");
    assert!(text.ends_with("score  the mean\np      the p-value\n\na note\n"), "{text}");
}

#[test]
fn columns_that_are_left_out_name_their_table_if_there_are_several() {
    let named = |title: &str, algorithm_bytes| ResultTable { title: title.to_owned(), ..table(algorithm_bytes) };
    let shown = |tables: &[ResultTable]| {
        let mut page = ResultPage::new(TableStyle::default());
        tables.iter().for_each(|table| page.table(table));
        page.finish()
    };
    let text = shown(&[named("Ranks: demo", 58), named("Ranks: other", 5), named("Pairs", 5)]);
    assert!(text.contains("\nNot shown (--wide shows all columns): n of \"Ranks\"\n\nscore"), "{text}");
    let text = shown(&[named("Ranks: demo", 58), named("Pairs", 58)]);
    assert!(text.contains("\nNot shown (--wide shows all columns): n\n\nscore"), "{text}");
}

#[test]
fn a_line_that_is_wider_than_a_terminal_is_broken_between_words() {
    let text = "short\n  caused by: one two three\n";
    assert_eq!(wrapped(text, 20), "short\n  caused by: one two\n    three\n");
    assert_eq!(wrapped(text, 80), text);
}

#[test]
fn the_best_is_bold() {
    let text = shown(&table(5), TableForm::Text, false, Emphasis::Bold);
    assert!(text.contains("\x1b[1m0.5000\x1b[0m ") && !text.contains('*'), "{text:?}");
}

#[test]
fn markdown_and_latex_are_escaped() {
    let markdown = shown(&table(1), TableForm::Markdown, false, Emphasis::Asterisk);
    assert!(markdown.starts_with("**Board\\_1**\n\n| algorithm | score | p | n |\n| :--- | ---: | ---: | ---: |\n"));
    assert!(markdown.contains("| x | **0.5000** | \\<0.0001 | 7 |\n"), "{markdown}");
    assert!(markdown.contains("| &emsp;a\\_b\\|c & 50% | -0.2500 | - | 8 |\n"), "{markdown}");
    let latex = shown(&table(1), TableForm::Latex, false, Emphasis::Asterisk);
    assert!(
        latex.contains("\\caption{Board\\_1}\n\\label{tab:board-1}\n\\begin{tabular}{lrrr}\n\\toprule\n"),
        "{latex}"
    );
    assert!(latex.contains("x & \\textbf{0.5000} & $<$0.0001 & 7 \\\\\n"), "{latex}");
    assert!(latex.contains("\\quad a\\_b|c \\& 50\\% & $-$0.2500 & -- & 8 \\\\\n\\bottomrule\n"), "{latex}");
    let legend =
        "\\end{tabular}\n\\par\\smallskip\n{\\footnotesize score: the mean;\np: the p-value.\\par}\n\\end{table}\n";
    assert!(latex.contains(legend) && latex.contains("% a note\n"), "{latex}");
}

#[test]
fn long_text_goes_on_below_its_beginning() {
    let text = hanging("A  ", &"word ".repeat(20));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0].len(), &lines[1][..8]), (2, 77, "   word "));
    assert_eq!(hanging("", &"x".repeat(90)), "x".repeat(90) + "\n");
}
