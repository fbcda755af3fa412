//! Checks the footer of a Parquet file before a library reads it. The library reserves memory for as many row groups as the
//! footer claims, and recurses as deep as the schema is nested, so that a few bytes could end the process. The footer is a
//! struct in Thrift's compact protocol, of which only the lengths are read here.

use crate::dataset::label_error::LabelError;

/// Maximum size of a footer in bytes: thousands of times that of any table of labels.
const FOOTER_BYTES_MAX: usize = 16 << 20;

/// Maximum number of row groups: their numbers have 16 bits.
const ROW_GROUPS_MAX: usize = i16::MAX as usize;

/// Maximum depth of the schema. Columns of labels are not nested.
const SCHEMA_DEPTH_MAX: usize = 32;

/// Maximum depth of the footer's structs. The format has 8.
const STRUCT_DEPTH_MAX: usize = 32;

/// Types of Thrift's compact protocol.
mod kind {
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const I8: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(super) const STRUCT: u8 = 12;
}

/// Numbers of fields in the format.
const SCHEMA: i64 = 2;
const ROW_GROUPS: i64 = 4;
const CHILDREN: i64 = 5;

/// Checks that the footer of a file can be read in little memory.
pub(super) fn check(file: &[u8]) -> Result<(), LabelError> {
    let footer = file.strip_suffix(b"PAR1").and_then(|rest| rest.split_last_chunk::<4>()).and_then(|(rest, length)| {
        let length = u32::from_le_bytes(*length) as usize;
        rest.get(rest.len().checked_sub(length)?..)
    });
    // The library says what is wrong with the end of a file.
    let Some(footer) = footer else { return Ok(()) };
    if footer.len() > FOOTER_BYTES_MAX {
        return Err(LabelError::Content(format!("its footer has more than {FOOTER_BYTES_MAX} bytes")));
    }
    let damaged = || LabelError::Content("its footer is damaged".to_owned());
    let mut thrift = Thrift { rest: footer };
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field).ok_or_else(damaged)? {
        match (field, kind) {
            (SCHEMA, kind::LIST) => check_schema(&mut thrift)?,
            (ROW_GROUPS, kind::LIST) => {
                let (kind, groups) = thrift.list().ok_or_else(damaged)?;
                if groups > ROW_GROUPS_MAX {
                    return Err(LabelError::Content(format!("it has more than {ROW_GROUPS_MAX} row groups")));
                }
                (0..groups).try_for_each(|_| thrift.skip_element(kind, 0)).ok_or_else(damaged)?;
            }
            _ => thrift.skip(kind, 0).ok_or_else(damaged)?,
        }
    }
    Ok(())
}

/// Checks the depth of the schema, whose elements are listed each before its children.
fn check_schema(thrift: &mut Thrift<'_>) -> Result<(), LabelError> {
    let damaged = || LabelError::Content("its footer is damaged".to_owned());
    let (kind, elements) = thrift.list().ok_or_else(damaged)?;
    if kind != kind::STRUCT {
        return Err(damaged());
    }
    // The children that are left of each element around the current one.
    let mut left: Vec<usize> = Vec::new();
    for _ in 0..elements {
        while left.last() == Some(&0) {
            left.pop();
        }
        if let Some(siblings) = left.last_mut() {
            *siblings -= 1;
        }
        let children = thrift.children().ok_or_else(damaged)?;
        if children > elements {
            return Err(damaged());
        }
        if children > 0 {
            left.push(children);
        }
        if left.len() > SCHEMA_DEPTH_MAX {
            return Err(LabelError::Content(format!(
                "its columns are nested more than {SCHEMA_DEPTH_MAX} levels deep"
            )));
        }
    }
    Ok(())
}

/// The rest of some bytes in Thrift's compact protocol. None of its methods reads beyond them.
struct Thrift<'f> {
    rest: &'f [u8],
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Reads the header of a struct's next field: its number into `field`, and its type. None within for the struct's end.
    fn field(&mut self, field: &mut i64) -> Option<Option<u8>> {
        let header = self.byte()?;
        if header == 0 {
            return Some(None);
        }
        *field = match header >> 4 {
            0 => self.signed()?,
            more => field.checked_add(more.into())?,
        };
        Some(Some(header & 0xf))
    }

    /// Reads the header of a list: the type of its elements, and their number. Each has at least one byte.
    fn list(&mut self) -> Option<(u8, usize)> {
        let header = self.byte()?;
        let elements = match header >> 4 {
            15 => usize::try_from(self.number()?).ok()?,
            few => few.into(),
        };
        (elements <= self.rest.len()).then_some((header & 0xf, elements))
    }

    /// Reads an element of a schema, and returns the number of its children.
    fn children(&mut self) -> Option<usize> {
        let (mut field, mut children) = (0, 0);
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (CHILDREN, kind::I32) => children = usize::try_from(self.signed()?).ok()?,
                _ => self.skip(kind, 1)?,
            }
        }
        Some(children)
    }

    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            // A field's type says which it is; an element's byte does.
            kind::TRUE | kind::FALSE => self.take(1),
            _ => self.skip(kind, depth),
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > STRUCT_DEPTH_MAX {
            return None;
        }
        match kind {
            kind::TRUE | kind::FALSE => Some(()),
            kind::I8 => self.take(1),
            kind::I16 | kind::I32 | kind::I64 => self.number().map(drop),
            kind::DOUBLE => self.take(8),
            kind::BINARY => {
                let bytes = usize::try_from(self.number()?).ok()?;
                self.take(bytes)
            }
            kind::LIST | kind::SET => {
                let (kind, elements) = self.list()?;
                (0..elements).try_for_each(|_| self.skip_element(kind, depth + 1))
            }
            kind::MAP => {
                let entries = self.number()?;
                let kinds = if entries == 0 { 0 } else { self.byte()? };
                (0..entries).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth + 1)?;
                    self.skip_element(kinds & 0xf, depth + 1)
                })
            }
            kind::STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    /// Returns a file of a footer alone, with elements of a schema by their numbers of children.
    fn file(elements: &[u64], row_groups: &[u8]) -> Vec<u8> {
        let element = |children: &u64| [b"\x48\x01a\x15".as_slice(), &number(2 * children), &[0]].concat();
        let elements = [number(elements.len() as u64), elements.iter().flat_map(element).collect()].concat();
        let footer = [b"\x15\x02\x19\xfc".as_slice(), &elements, b"\x16\0\x19", row_groups, &[0]].concat();
        [&footer, (footer.len() as u32).to_le_bytes().as_slice(), b"PAR1"].concat()
    }

    fn refusal(file: &[u8]) -> String {
        check(file).unwrap_err().to_string()
    }

    #[test]
    fn claims_beyond_the_file_are_refused() {
        check(&file(&[2, 0, 0], b"\x0c")).unwrap();
        let claimed = [b"\xfc".as_slice(), &number(u32::MAX.into())].concat();
        assert!(refusal(&file(&[2, 0, 0], &claimed)).contains("damaged"));
        let many = [b"\xfc".as_slice(), &number(40_000), &[0; 40_000]].concat();
        assert!(refusal(&file(&[2, 0, 0], &many)).contains("row groups"));
        assert!(refusal(&file(&[1 << 30, 0], b"\x0c")).contains("damaged"));
        // The library would recurse for each.
        assert!(refusal(&file(&[1; 100_000], b"\x0c")).contains("nested"));
        check(&file(&[[30].as_slice(), &[0; 30]].concat(), b"\x0c")).unwrap();
    }

    proptest! {
        #[test]
        fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = check(&[&noise, (noise.len() as u32).to_le_bytes().as_slice(), b"PAR1"].concat());
        }
    }
}
