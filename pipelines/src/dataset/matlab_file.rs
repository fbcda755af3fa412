//! Reads MATLAB's level 5 files (written by `save` up to `-v7`) strictly: numbers, text, cells and structs, plain or compressed,
//! in either byte order, as specified in MathWorks' "MAT-File Format". This module does not know what the values mean.
//!
//! Every length is checked against the available bytes before memory is allocated. Compressed values may expand to at most
//! `INFLATED_MAX`, and all that is read of a file is counted. A value of another class (objects, functions, sparse and complex numbers) is skipped by its length, because
//! a file may hold one beside the labels.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Maximum size of a file in bytes: hundreds of times that of any table of labels.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;

/// Maximum size of a file's inflated values in bytes.
const INFLATED_MAX: u64 = 64 << 20;

/// Maximum nesting of cells and fields. Files of known data sets have 2 levels.
const DEPTH_MAX: usize = 16;

/// Maximum number of numbers, letters, cells and fields in a file: a byte of the file may become any of them, of up to 60 bytes.
const VALUES_MAX: usize = 16 << 20;

const HEADER_BYTES: usize = 128;

/// Why a MATLAB file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MatError {
    /// The file is of level 7.3, which is HDF5.
    #[error("it is a MATLAB 7.3 file (HDF5), which is not read: in MATLAB, `load` it and `save('labels.mat', '-v7')`")]
    Hdf5,
    /// The file does not have a header of level 5.
    #[error("it does not begin like a level 5 MATLAB file")]
    Header,
    /// An element extends beyond the end of the file or of its parent.
    #[error("{what} at byte {offset} extends beyond the end of the data")]
    Short {
        /// The element.
        what: &'static str,
        /// Its offset in the file, or in the inflated value.
        offset: usize,
    },
    /// An element does not follow the format.
    #[error("{what} at byte {offset} is invalid")]
    Wrong {
        /// The element.
        what: &'static str,
        /// Its offset in the file, or in the inflated value.
        offset: usize,
    },
    /// A compressed value cannot be inflated.
    #[error("the compressed data at byte {offset} cannot be unpacked")]
    Zlib {
        /// The offset of the data.
        offset: usize,
        /// Why it is invalid.
        #[source]
        source: std::io::Error,
    },
    /// The file exceeds a limit.
    #[error("it exceeds the limit of {0}")]
    Large(&'static str),
}

/// A value. Arrays have all elements, column by column, whatever their shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Numbers of any class, and logical values.
    Numbers(Vec<f64>),
    /// The rows of a char array.
    Text(Vec<String>),
    Cells(Vec<Value>),
    /// Each field with its value in every element.
    Struct(Vec<(String, Vec<Value>)>),
    /// A value of a class that is not read.
    Other(&'static str),
}

/// Reads the variables of a file with their names, in the file's order.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Value)>, MatError> {
    read_within(bytes, INFLATED_MAX)
}

fn read_within(bytes: &[u8], mut inflated_left: u64) -> Result<Vec<(String, Value)>, MatError> {
    let is_hdf5 = |offset| bytes.get(offset..).is_some_and(|rest: &[u8]| rest.starts_with(b"\x89HDF\r\n\x1a\n"));
    if bytes.starts_with(b"MATLAB 7.3") || is_hdf5(0) || is_hdf5(512) {
        return Err(MatError::Hdf5);
    }
    let is_big = match bytes.get(..HEADER_BYTES).ok_or(MatError::Header)? {
        [.., 0, 1, b'I', b'M'] => false,
        [.., 1, 0, b'M', b'I'] => true,
        _ => return Err(MatError::Header),
    };
    let mut values = 0;
    let mut variables = Vec::new();
    let mut file = Cursor { bytes, offset: HEADER_BYTES, is_big, values: &mut values, depth: 0 };
    while file.offset < bytes.len() {
        let element = file.element()?;
        match element.kind {
            COMPRESSED => {
                let inflated = inflate(element.data, element.offset, &mut inflated_left)?;
                let mut inner = Cursor { bytes: &inflated, offset: 0, is_big, values: file.values, depth: 0 };
                let element = inner.element()?;
                if element.kind == MATRIX {
                    variables.push(inner.within(&element).matrix()?);
                }
            }
            MATRIX => variables.push(file.within(&element).matrix()?),
            _ => {}
        }
    }
    Ok(variables)
}

fn inflate(data: &[u8], offset: usize, left: &mut u64) -> Result<Vec<u8>, MatError> {
    let mut inflated = Vec::new();
    let unpacked = ZlibDecoder::new(data).take(*left + 1).read_to_end(&mut inflated);
    unpacked.map_err(|source| MatError::Zlib { offset, source })?;
    *left = left.checked_sub(inflated.len() as u64).ok_or(MatError::Large("compressed bytes"))?;
    Ok(inflated)
}

const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const INT64: u32 = 12;
const UINT64: u32 = 13;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;
const UTF16: u32 = 17;
const UTF32: u32 = 18;

const COMPLEX: u32 = 0x800;

/// A tagged element of a file.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
    /// The offset of its data.
    offset: usize,
}

/// Reads the elements of a file or a value one after the other.
struct Cursor<'a, 'c> {
    bytes: &'a [u8],
    offset: usize,
    is_big: bool,
    /// The number of values read so far in the whole file.
    values: &'c mut usize,
    depth: usize,
}

impl<'a> Cursor<'a, '_> {
    fn within(&mut self, element: &Element<'a>) -> Cursor<'a, '_> {
        let end = element.offset + element.data.len();
        Cursor {
            bytes: &self.bytes[..end],
            offset: element.offset,
            is_big: self.is_big,
            values: self.values,
            depth: self.depth,
        }
    }

    /// Counts values that are read.
    fn count(&mut self, values: usize) -> Result<(), MatError> {
        *self.values = self.values.saturating_add(values);
        if *self.values > VALUES_MAX { Err(MatError::Large("values")) } else { Ok(()) }
    }

    fn word(&self, offset: usize) -> Result<u32, MatError> {
        let bytes = self.bytes.get(offset..offset + 4).ok_or(MatError::Short { what: "a tag", offset })?;
        let bytes = bytes.try_into().expect("four were taken");
        Ok(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// Reads the next element. A small one has its length in the first word and its data in the second.
    fn element(&mut self) -> Result<Element<'a>, MatError> {
        let begin = self.offset;
        let tag = self.word(begin)?;
        let (kind, length, offset) = match tag >> 16 {
            0 => (tag, self.word(begin + 4)? as usize, begin + 8),
            length @ 1..=4 => (tag & 0xffff, length as usize, begin + 4),
            _ => return Err(MatError::Wrong { what: "a tag", offset: begin }),
        };
        let end = offset.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(MatError::Short { what: "a piece", offset: begin })?;
        // Compressed elements are not padded, and the last element need not be.
        let next = if kind == COMPRESSED { end } else { begin + (end - begin).next_multiple_of(8) };
        self.offset = next.min(self.bytes.len());
        Ok(Element { kind, data: &self.bytes[offset..end], offset })
    }

    fn expect(&mut self, kinds: &[u32], what: &'static str) -> Result<Element<'a>, MatError> {
        let element = self.element()?;
        if kinds.contains(&element.kind) { Ok(element) } else { Err(MatError::Wrong { what, offset: element.offset }) }
    }

    /// Reads the array that the cursor is in, and returns its name and value.
    fn matrix(mut self) -> Result<(String, Value), MatError> {
        self.count(1)?;
        if self.offset == self.bytes.len() {
            return Ok((String::new(), Value::Numbers(Vec::new()))); // an empty cell has only a tag
        }
        if self.depth > DEPTH_MAX {
            return Err(MatError::Large("levels of cells"));
        }
        let flags = self.expect(&[UINT32], "an array's flags")?;
        let flags = self.word(flags.offset)?;
        if flags & 0xff == 17 {
            return Ok((String::new(), Value::Other("an object"))); // an object has no shape; a `string` is an object
        }
        let shape = self.shape()?;
        let name = self.expect(&[INT8, UTF8], "an array's name")?;
        let name = String::from_utf8_lossy(name.data).into_owned();
        let value = match flags & 0xff {
            _ if flags & COMPLEX != 0 => Value::Other("complex numbers"),
            1 => Value::Cells(self.cells(shape.count)?),
            2 => self.structure(shape.count)?,
            4 => self.text(&shape)?,
            6..=15 => self.numbers(shape.count)?,
            3 => Value::Other("an object"),
            5 => Value::Other("a sparse matrix"),
            _ => Value::Other("a value of a class that is not read"),
        };
        Ok((name, value))
    }

    fn shape(&mut self) -> Result<Shape, MatError> {
        let element = self.expect(&[INT32, UINT32], "an array's shape")?;
        let wrong = MatError::Wrong { what: "an array's shape", offset: element.offset };
        let words: Vec<u32> =
            (0..element.data.len() / 4).map(|i| self.word(element.offset + 4 * i)).collect::<Result<_, _>>()?;
        let count = words.iter().try_fold(1usize, |count, length| count.checked_mul(*length as usize));
        match (count, words.first()) {
            (Some(count), Some(rows)) if words.len() >= 2 => Ok(Shape { rows: *rows as usize, count }),
            _ => Err(wrong),
        }
    }

    fn cells(&mut self, count: usize) -> Result<Vec<Value>, MatError> {
        // Not with_capacity(count), because a shape may be false. Each cell takes at least 8 bytes of the file.
        let mut cells = Vec::new();
        for _ in 0..count {
            let element = self.expect(&[MATRIX], "a cell")?;
            let depth = self.depth + 1;
            let cell = Cursor { depth, ..self.within(&element) };
            cells.push(cell.matrix()?.1);
        }
        Ok(cells)
    }

    fn structure(&mut self, count: usize) -> Result<Value, MatError> {
        let length = self.expect(&[INT32], "the length of field names")?;
        let length = self.word(length.offset)? as usize;
        let names = self.expect(&[INT8], "field names")?;
        if length == 0 || !names.data.len().is_multiple_of(length) {
            return Err(MatError::Wrong { what: "field names", offset: names.offset });
        }
        self.count(names.data.len() / length)?;
        let name =
            |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
        let mut fields: Vec<(String, Vec<Value>)> =
            names.data.chunks(length).map(|bytes| (name(bytes), Vec::new())).collect();
        if fields.is_empty() {
            return Ok(Value::Struct(fields)); // no values follow, whatever the count
        }
        for _ in 0..count {
            for (_, values) in &mut fields {
                values.extend(self.cells(1)?);
            }
        }
        Ok(Value::Struct(fields))
    }

    fn text(&mut self, shape: &Shape) -> Result<Value, MatError> {
        let element = self.expect(&[INT8, UINT8, UINT16, UTF8, UTF16, UTF32], "text")?;
        let wrong = || MatError::Wrong { what: "text", offset: element.offset };
        self.count(element.data.len())?;
        let letters: Vec<char> = match element.kind {
            INT8 | UINT8 | UTF8 => std::str::from_utf8(element.data).map_err(|_| wrong())?.chars().collect(),
            UINT16 | UTF16 => {
                let units = element.data.chunks_exact(2).map(|pair| self.unit(pair));
                char::decode_utf16(units).collect::<Result<_, _>>().map_err(|_| wrong())?
            }
            _ => {
                let codes = (0..element.data.len() / 4)
                    .map(|i| self.word(element.offset + 4 * i).ok().and_then(char::from_u32));
                codes.collect::<Option<_>>().ok_or_else(wrong)?
            }
        };
        if shape.rows <= 1 {
            return Ok(Value::Text(if letters.is_empty() { Vec::new() } else { vec![letters.into_iter().collect()] }));
        }
        if !letters.len().is_multiple_of(shape.rows) || shape.rows > letters.len() {
            return Err(wrong());
        }
        let row = |row: usize| letters.iter().skip(row).step_by(shape.rows).collect::<String>().trim_end().to_owned();
        Ok(Value::Text((0..shape.rows).map(row).collect()))
    }

    fn unit(&self, pair: &[u8]) -> u16 {
        let pair = [pair[0], pair[1]];
        if self.is_big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    }

    fn numbers(&mut self, count: usize) -> Result<Value, MatError> {
        let element = self.element()?;
        let is_big = self.is_big;
        self.count(count.min(element.data.len()))?;
        // One more than there should be shows that there are too many.
        let numbers_max = count.saturating_add(1);
        macro_rules! decode {
            ($type:ty) => {
                element
                    .data
                    .chunks_exact(size_of::<$type>())
                    .map(|bytes| {
                        let bytes = bytes.try_into().expect("a chunk is of that length");
                        (if is_big { <$type>::from_be_bytes(bytes) } else { <$type>::from_le_bytes(bytes) }) as f64
                    })
                    .take(numbers_max)
                    .collect::<Vec<f64>>()
            };
        }
        // A double may be stored as a smaller type if it is exact.
        let numbers = match element.kind {
            INT8 => decode!(i8),
            UINT8 => decode!(u8),
            INT16 => decode!(i16),
            UINT16 => decode!(u16),
            INT32 => decode!(i32),
            UINT32 => decode!(u32),
            SINGLE => decode!(f32),
            DOUBLE => decode!(f64),
            INT64 => decode!(i64),
            UINT64 => decode!(u64),
            _ => return Err(MatError::Wrong { what: "numbers", offset: element.offset }),
        };
        if numbers.len() == count {
            Ok(Value::Numbers(numbers))
        } else {
            Err(MatError::Wrong { what: "numbers", offset: element.offset })
        }
    }
}

struct Shape {
    rows: usize,
    count: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMPRESSED_FILE: &[u8] = include_bytes!("../../tests/fixtures/values.mat");
    const PLAIN_FILE: &[u8] = include_bytes!("../../tests/fixtures/values_plain.mat");
    const STRUCT_FILE: &[u8] = include_bytes!("../../tests/fixtures/exbedde/beijing/beijing_1/beijing_1_scores.mat");

    fn text(text: &str) -> Value {
        Value::Text(vec![text.to_owned()])
    }

    #[test]
    fn every_class_is_read_and_others_are_passed_over() {
        for file in [COMPRESSED_FILE, PLAIN_FILE] {
            let variables = read(file).unwrap();
            let get = |name: &str| &variables.iter().find(|(known, _)| known == name).unwrap().1;
            for kind in ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
            {
                assert_eq!(*get(&format!("t_{kind}")), Value::Numbers(vec![1.0, 2.0, 3.0]), "{kind}");
            }
            assert_eq!(*get("small"), Value::Numbers(vec![7.0]));
            assert_eq!(*get("logical"), Value::Numbers(vec![1.0, 0.0]));
            assert_eq!(*get("empty"), Value::Numbers(vec![]));
            assert_eq!(*get("text"), text("wörld 🌫"));
            assert_eq!(*get("rows"), Value::Text(vec!["one".into(), "three".into()]));
            assert_eq!(*get("nothing"), Value::Text(vec![]));
            assert_eq!(*get("matrix"), Value::Numbers(vec![1.0, 3.0, 2.0, 4.0]), "by columns");
            let names = ("name".to_owned(), vec![text("a.png"), text("b.png")]);
            let labels = ("mos".to_owned(), vec![Value::Numbers(vec![0.25]), Value::Numbers(vec![0.75])]);
            assert_eq!(*get("structs"), Value::Struct(vec![names, labels]));
            let cell = |name| Value::Cells(vec![text(name)]);
            assert_eq!(*get("nested"), Value::Cells(vec![cell("x.png"), cell("y.png")]));
            assert_eq!(*get("complex"), Value::Other("complex numbers"));
        }
    }

    /// Reads a file of one 1x2 array of doubles, written by hand in the other byte order.
    #[test]
    fn big_endian_is_read() {
        let mut file = vec![b' '; 124];
        file.extend([1, 0, b'M', b'I']);
        let mut array = Vec::new();
        let piece = |array: &mut Vec<u8>, kind: u32, data: &[u8]| {
            array.extend(kind.to_be_bytes());
            array.extend((data.len() as u32).to_be_bytes());
            array.extend(data);
            array.resize(array.len().next_multiple_of(8), 0);
        };
        let words = |words: [u32; 2]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        piece(&mut array, UINT32, &words([6, 0]));
        piece(&mut array, INT32, &words([1, 2]));
        array.extend([0, 3, 0, 1, b'm', b'o', b's', 0]); // a small piece: length, kind, data
        array[20] = 0;
        let numbers: Vec<u8> = [0.5f64, -2.0].iter().flat_map(|number| number.to_be_bytes()).collect();
        piece(&mut array, DOUBLE, &numbers);
        piece(&mut file, MATRIX, &array);
        assert_eq!(read(&file).unwrap(), [("mos".to_owned(), Value::Numbers(vec![0.5, -2.0]))]);
    }

    #[test]
    fn other_files_are_told_apart() {
        let hdf5 = [b"MATLAB 7.3 MAT-file, Platform: GLNXA64".as_slice(), &[b' '; 474], b"\x89HDF\r\n\x1a\n"].concat();
        assert!(matches!(read(&hdf5), Err(MatError::Hdf5)));
        assert!(matches!(read(b"\x89HDF\r\n\x1a\nxxxxxxx"), Err(MatError::Hdf5)));
        assert!(matches!(read(&[0; 1000]), Err(MatError::Header)));
        assert!(matches!(read(b""), Err(MatError::Header)));
        assert!(read(&PLAIN_FILE[..PLAIN_FILE.len() - 9]).is_err());
    }

    /// Each letter would be a row of its own.
    #[test]
    fn what_takes_many_times_its_bytes_is_refused() {
        let mut array = Vec::new();
        let piece = |file: &mut Vec<u8>, kind: u32, data: &[u8]| {
            file.extend([kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat());
            file.extend(data);
            file.resize(file.len().next_multiple_of(8), 0);
        };
        let letters = vec![b'a'; VALUES_MAX + 8];
        piece(&mut array, UINT32, &[4_u32, 0].map(u32::to_le_bytes).concat());
        piece(&mut array, INT32, &[letters.len() as u32, 1].map(u32::to_le_bytes).concat());
        piece(&mut array, INT8, b"names");
        piece(&mut array, UTF8, &letters);
        let mut file = [vec![b' '; 124], vec![0, 1, b'I', b'M']].concat();
        piece(&mut file, MATRIX, &array);
        assert!(matches!(read(&file), Err(MatError::Large("values"))));
    }

    #[test]
    fn a_bomb_is_refused() {
        use std::io::Write;

        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        let mut file = PLAIN_FILE[..HEADER_BYTES].to_vec();
        file.extend(COMPRESSED.to_le_bytes());
        file.extend((bomb.len() as u32).to_le_bytes());
        file.extend(bomb);
        assert!(matches!(read_within(&file, 1 << 16), Err(MatError::Large("compressed bytes"))));
    }

    fn files() -> impl Strategy<Value = Vec<u8>> {
        proptest::sample::select(vec![PLAIN_FILE, STRUCT_FILE, COMPRESSED_FILE]).prop_map(<[u8]>::to_vec)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// A damaged file causes no panic, and takes at most a few times its length in memory, whatever lengths it claims.
        #[test]
        fn damaged_files_are_errors_or_values(mut file in files(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), is_cut: bool) {
            for (offset, byte) in damage {
                let offset = offset.index(file.len());
                file[offset] = byte;
            }
            if is_cut {
                file.truncate(cut.index(file.len()));
            }
            let _ = read(&file);
        }

        #[test]
        fn noise_after_a_header_is_no_panic(noise in prop::collection::vec(prop_oneof![0..20u8, any::<u8>()], 0..400)) {
            let _ = read(&[&PLAIN_FILE[..HEADER_BYTES], &noise].concat());
        }
    }
}
