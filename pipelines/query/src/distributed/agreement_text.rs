//! Correlations of groups as a table, JSON and CSV.

use super::{GroupAgreement, GroupKind};
use dqa_pipelines::result_page::{Column, ResultPage, ResultTable, TableStyle};
use dqa_pipelines::text_table::format_number;

/// Column names, in the order of the struct's fields.
const COLUMNS: [&str; 9] =
    ["dataset", "group_kind", "group_name", "pictures", "failed", "unlabelled", "n", "srcc", "plcc"];

/// Returns the groups as JSON, one object per line.
pub fn json(groups: &[GroupAgreement]) -> String {
    groups.iter().map(|group| serde_json::to_string(group).expect("a row has text for keys") + "\n").collect()
}

/// Returns the groups as CSV with a header. An undefined value is an empty field.
pub fn csv(groups: &[GroupAgreement]) -> String {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(COLUMNS).expect("memory takes text");
    groups.iter().for_each(|group| writer.serialize(group).expect("memory takes text and numbers"));
    String::from_utf8(writer.into_inner().expect("memory takes it")).expect("what was written is text")
}

/// Returns the groups as a table for people to read, with a note on what is missing.
pub fn table(groups: &[GroupAgreement], style: TableStyle) -> String {
    let mut page = ResultPage::new(style);
    if groups.is_empty() {
        page.line("", "Agreement with labels: none, as no picture with a score has a label");
        return page.finish();
    }
    let column = |cell: &dyn Fn(&GroupAgreement) -> String| groups.iter().map(cell).collect::<Vec<String>>();
    let name = |group: &GroupAgreement| match (&group.group_name, group.group_kind) {
        (Some(name), GroupKind::SceneGroup) => format!("  {name} (scenes)"),
        (Some(name), _) => format!("  {name}"),
        (None, _) => group.dataset.clone(),
    };
    page.table(&ResultTable::new(
        "Agreement with labels",
        vec![
            Column::left("pictures of", column(&name)),
            Column::right("n", column(&|group| group.n.to_string())).meaning("pictures with score and label"),
            Column::right("SRCC", column(&|group| format_number(group.srcc))),
            Column::right("PLCC", column(&|group| format_number(group.plcc))),
        ],
    ));
    page.note(
        "Left out, as a group's pictures would have to meet on one machine: intervals, KRCC, RMSE, PLCC after a fit, \
         pairs of a scene, exBeDDE's protocol, leaderboards. `--engine local` has them.",
    );
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<GroupAgreement> {
        let all = GroupAgreement {
            dataset: "d".to_owned(),
            group_kind: GroupKind::All,
            group_name: None,
            pictures: 12,
            failed: 1,
            unlabelled: 2,
            n: 9,
            srcc: Some(0.5),
            plcc: None,
        };
        let named = |group_kind, name: &str| GroupAgreement {
            group_kind,
            group_name: Some(name.to_owned()),
            plcc: Some(-0.25),
            ..all.clone()
        };
        vec![all.clone(), named(GroupKind::Algorithm, "dcp"), named(GroupKind::SceneGroup, "a,b")]
    }

    #[test]
    fn groups_are_text_of_three_kinds() {
        assert_eq!(
            csv(&groups()),
            "dataset,group_kind,group_name,pictures,failed,unlabelled,n,srcc,plcc\n\
             d,all,,12,1,2,9,0.5,\nd,algorithm,dcp,12,1,2,9,0.5,-0.25\nd,scene_group,\"a,b\",12,1,2,9,0.5,-0.25\n"
        );
        assert_eq!(csv(&[]).lines().count(), 1, "a header");
        let first = "{\"dataset\":\"d\",\"group_kind\":\"all\",\"group_name\":null,\"pictures\":12,\"failed\":1,\
                     \"unlabelled\":2,\"n\":9,\"srcc\":0.5,\"plcc\":null}";
        assert_eq!(json(&groups()).lines().next(), Some(first));
        let text = table(&groups(), TableStyle::default());
        for part in ["a,b (scenes)", "0.5000", "-0.2500", "Left out"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
