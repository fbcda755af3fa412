//! A workbook as spreadsheets write it, made by hand: an uncompressed ZIP of a few files of XML.

use arrow::array::Array;

use super::*;

/// Makes a workbook of sheets with their cells; a cell that reads as a number is stored as a number.
pub(in crate::dataset) fn workbook(sheets: &[(&str, &[Vec<String>])]) -> Vec<u8> {
    let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml";
    let relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006";
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let (mut types, mut names, mut relations, mut files) = (String::new(), String::new(), String::new(), Vec::new());
    for (number, (name, rows)) in (1..).zip(sheets) {
        types +=
            &format!("<Override PartName=\"/xl/worksheets/sheet{number}.xml\" ContentType=\"{kind}.worksheet+xml\"/>");
        names += &format!("<sheet name=\"{name}\" sheetId=\"{number}\" r:id=\"rId{number}\"/>");
        relations += &format!(
            "<Relationship Id=\"rId{number}\" Type=\"{relation}/worksheet\" Target=\"worksheets/sheet{number}.xml\"/>"
        );
        let row = |(at, cells): (usize, &Vec<String>)| {
            let cell = |(column, text): (usize, &String)| {
                let reference = format!("{}{}", char::from(b'A' + column as u8), at + 1);
                match text.parse::<f64>() {
                    Ok(_) => format!("<c r=\"{reference}\"><v>{text}</v></c>"),
                    Err(_) => {
                        format!(
                            "<c r=\"{reference}\" t=\"inlineStr\"><is><t xml:space=\"preserve\">{text}</t></is></c>"
                        )
                    }
                }
            };
            format!("<row r=\"{}\">{}</row>", at + 1, cells.iter().enumerate().map(cell).collect::<String>())
        };
        let rows: String = rows.iter().enumerate().map(row).collect();
        files.push((
            format!("xl/worksheets/sheet{number}.xml"),
            format!("<worksheet xmlns=\"{main}\"><sheetData>{rows}</sheetData></worksheet>"),
        ));
    }
    files.push((
        "[Content_Types].xml".to_owned(),
        format!(
            "<Types xmlns=\"{package}/content-types\"><Default Extension=\"rels\" \
             ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Override \
             PartName=\"/xl/workbook.xml\" ContentType=\"{kind}.sheet.main+xml\"/>{types}</Types>"
        ),
    ));
    files.push((
        "_rels/.rels".to_owned(),
        format!(
            "<Relationships xmlns=\"{package}/relationships\"><Relationship Id=\"rId1\" \
             Type=\"{relation}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
        ),
    ));
    files.push((
        "xl/workbook.xml".to_owned(),
        format!("<workbook xmlns=\"{main}\" xmlns:r=\"{relation}\"><sheets>{names}</sheets></workbook>"),
    ));
    files.push((
        "xl/_rels/workbook.xml.rels".to_owned(),
        format!("<Relationships xmlns=\"{package}/relationships\">{relations}</Relationships>"),
    ));
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
    zip(files.into_iter().map(|(name, text)| (name, format!("{head}{text}"))).collect())
}

fn zip(files: Vec<(String, String)>) -> Vec<u8> {
    let (mut archive, mut directory, count) = (Vec::new(), Vec::new(), files.len() as u16);
    for (name, content) in files {
        let mut crc = flate2::Crc::new();
        crc.update(content.as_bytes());
        let length = (content.len() as u32).to_le_bytes();
        // Version, flags, method (stored), time, date, checksum, both lengths, of the name, of more.
        let mut fields = [20_u16, 0, 0, 0, 0x21].map(u16::to_le_bytes).concat();
        fields.extend([crc.sum().to_le_bytes(), length, length].concat());
        fields.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        let offset = archive.len() as u32;
        archive.extend([b"PK\x03\x04".as_slice(), &fields, name.as_bytes(), content.as_bytes()].concat());
        let rest = [[0_u8; 10].as_slice(), &offset.to_le_bytes()].concat();
        directory.extend([b"PK\x01\x02\x14\0".as_slice(), &fields, &rest, name.as_bytes()].concat());
    }
    let at = archive.len() as u32;
    archive.extend(&directory);
    archive.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count.to_le_bytes(), &count.to_le_bytes()].concat());
    archive.extend([(directory.len() as u32).to_le_bytes(), at.to_le_bytes()].concat());
    archive.extend([0, 0]);
    archive
}

#[test]
fn columns_are_found_by_their_names_whatever_their_case() {
    let table =
        |text: &'static str| Table::read("t.csv", Bytes::from_static(text.as_bytes()), TableFormat::default()).unwrap();
    let one = table("Image ,MOS,Mos\na,1,2\n");
    assert!(one.has("image") && one.has("MOS") && !one.has("x"));
    assert_eq!(one.numbers("MOS").unwrap().values(), &[1.0], "exactly so");
    assert!(one.numbers("mos").unwrap_err().to_string().contains("more than one"));
    assert_eq!(table("a;b,c\n1;2\n").names(), ["a", "b,c"]);
    let cut = table("image,mos,remark\na,1\n");
    assert!(cut.texts("remark").unwrap().is_null(0) && cut.row(0).to_string() == "line 2");
}

#[test]
fn a_workbook_cannot_claim_more_than_it_has() {
    let texts = |count: &str| {
        let xml = format!("<sst uniqueCount={count}><si><t>a</t></si></sst>");
        let files = vec![("xl/workbook.xml".to_owned(), String::new()), ("xl/SharedStrings.xml".to_owned(), xml)];
        workbook::read(zip(files).into(), None).unwrap_err().to_string()
    };
    for count in ["'99999999999'", " = \"99999999999\""] {
        assert!(texts(count).contains("more texts than it has bytes"), "{}", texts(count));
    }
    assert!(!texts("'1'").contains("more texts"), "{}", texts("'1'"));
}

/// One text of 1 MB in each of 400 cells, and a table that a coordinator does not read.
#[tokio::test]
async fn what_is_shared_is_counted_for_each_cell() {
    let long = "x".repeat(1 << 20);
    let rows: Vec<Vec<String>> = (0..300).map(|_| vec![long.clone()]).collect();
    let error = workbook::read(workbook(&[("s", &rows)]).into(), None).unwrap_err().to_string();
    assert!(error.contains("unpacked"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), std::path::Path::new("")).unwrap();
    store.put("t.ods", zip(vec![("content.xml".to_owned(), String::new())]).into()).await.unwrap();
    store.put("t.xlsx", workbook(&[("s", &[vec!["image".to_owned()], vec!["a".to_owned()]])]).into()).await.unwrap();
    let restricted = LoadPolicy::restricted(|_| Ok(()));
    let refused = open(&store, "t.ods", TableFormat::default(), &restricted).await.err();
    assert!(matches!(refused, Some(UnlocatedError::Table(LabelError::NotATable { .. }))));
    assert!(open(&store, "t.xlsx", TableFormat::default(), &restricted).await.is_ok());
}

#[test]
fn a_table_has_few_columns() {
    let read = |text: String| Table::read("t.csv", text.into(), TableFormat::default()).map(drop);
    let wide = "a,".repeat(COLUMNS_MAX);
    assert!(read(format!("{wide}a\n1\n")).unwrap_err().to_string().contains("columns"));
}

#[test]
fn a_stray_cell_far_away_takes_no_memory() {
    let far = vec![vec!["image".to_owned(), "mos".to_owned()], vec!["a".to_owned(), "1".to_owned()]];
    let mut rows = vec![Vec::new(); 1_000_000];
    rows.splice(0..2, far);
    rows.push(vec!["stray".to_owned()]);
    let book = workbook(&[("s", &rows)]);
    let grid = workbook::read(book.into(), None).unwrap();
    assert_eq!((grid.columns[0].len(), grid.row(1).to_string()), (2, "row 1000001".to_owned()));
}
