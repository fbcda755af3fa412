//! The macro `table!`: defines a report table by a struct whose fields are the columns. Only column types that every
//! Parquet reader supports are used: text, signed 64-bit integers, 64-bit floating-point numbers and booleans.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use jiff::Timestamp;

/// A type of column.
pub(super) trait Cell {
    const TYPE: DataType;
    const NULLABLE: bool = false;

    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;

    /// Returns a cell of a column. None if the column has another type, or no value that the cell can have.
    fn read(column: &dyn Array, row: usize) -> Option<Self>
    where
        Self: Sized;

    /// Returns the cell of a row in a file that lacks the column. None if the cell must have a value.
    fn absent() -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

/// Returns a cell of a batch.
///
/// # Errors
/// The column is missing and the cell must have a value, or it has another type.
pub(super) fn read_cell<T: Cell>(batch: &RecordBatch, name: &str, row: usize) -> Result<T, ArrowError> {
    let cell = match batch.column_by_name(name) {
        Some(column) => T::read(column, row),
        None => T::absent(),
    };
    cell.ok_or_else(|| ArrowError::SchemaError(format!("column `{name}` is missing or has another type")))
}

macro_rules! cell {
    ($type:ty, $data_type:ident, $array:ty, $value:expr, $read:expr) => {
        impl Cell for $type {
            const TYPE: DataType = DataType::$data_type;

            fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(<$array>::from_iter_values(cells.map($value)))
            }

            fn read(column: &dyn Array, row: usize) -> Option<Self> {
                let column = column.as_any().downcast_ref::<$array>()?;
                if column.is_null(row) { None } else { $read(column.value(row)) }
            }
        }

        impl Cell for Option<$type> {
            const TYPE: DataType = DataType::$data_type;
            const NULLABLE: bool = true;

            fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(cells.map(|cell| cell.as_ref().map($value)).collect::<$array>())
            }

            fn read(column: &dyn Array, row: usize) -> Option<Self> {
                let column = column.as_any().downcast_ref::<$array>()?;
                if column.is_null(row) { Some(None) } else { $read(column.value(row)).map(Some) }
            }

            fn absent() -> Option<Self> {
                Some(None)
            }
        }
    };
}

cell!(String, Utf8, StringArray, |text: &'a String| text.as_str(), |text: &str| Some(text.to_owned()));
cell!(f64, Float64, Float64Array, |number: &f64| *number, Some);
cell!(u32, Int64, Int64Array, |number: &u32| i64::from(*number), |number| u32::try_from(number).ok());
cell!(u64, Int64, Int64Array, |number: &u64| i64::try_from(*number).expect("a count of rows"), |number| u64::try_from(
    number
)
.ok());

impl Cell for bool {
    const TYPE: DataType = DataType::Boolean;

    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(cells.map(|cell| Some(*cell)).collect::<BooleanArray>())
    }

    fn read(column: &dyn Array, row: usize) -> Option<Self> {
        let column = column.as_any().downcast_ref::<BooleanArray>()?;
        column.is_valid(row).then(|| column.value(row))
    }
}

impl Cell for Timestamp {
    // The time is UTC. Readers differ in how they handle timestamps with a time zone.
    const TYPE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(cells.map(|time| time.as_microsecond())))
    }

    fn read(column: &dyn Array, row: usize) -> Option<Self> {
        let column = column.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
        Timestamp::from_microsecond(column.value(row)).ok()
    }
}

/// Defines the row's struct, `SCHEMA`, `to_batch` and `from_batch` of a table.
macro_rules! table {
    ($(#[$doc:meta])* $row:ident { $($(#[$field_doc:meta])* $field:ident: $cell:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $row {
            $($(#[$field_doc])* pub $field: $cell,)*
        }

        /// The table's columns.
        pub static SCHEMA: std::sync::LazyLock<arrow::datatypes::SchemaRef> = std::sync::LazyLock::new(|| {
            use arrow::datatypes::{Field, Schema};
            use $crate::tables::table_macro::Cell;
            let fields = vec![$(Field::new(stringify!($field), <$cell>::TYPE, <$cell>::NULLABLE)),*];
            std::sync::Arc::new(Schema::new(fields))
        });

        /// Returns the rows as a batch of [`SCHEMA`].
        pub fn to_batch(rows: &[$row]) -> arrow::array::RecordBatch {
            use $crate::tables::table_macro::Cell;
            let columns = vec![$(<$cell>::column(rows.iter().map(|row| &row.$field))),*];
            arrow::array::RecordBatch::try_new(SCHEMA.clone(), columns).expect("the columns are made to the schema")
        }

        /// Returns the rows of a batch. Columns that may be None may also be missing, as in files of older versions.
        ///
        /// # Errors
        /// Another column is missing, or a column has another type.
        pub fn from_batch(batch: &arrow::array::RecordBatch) -> Result<Vec<$row>, arrow::error::ArrowError> {
            use $crate::tables::table_macro::read_cell;
            let row = |index| Ok($row { $($field: read_cell(batch, stringify!($field), index)?,)* });
            (0..batch.num_rows()).map(row).collect()
        }
    };
}

#[cfg(test)]
#[allow(unreachable_pub)] // the macro makes tables of the crate
mod tests {
    use jiff::Timestamp;

    table! {
        /// A row with a column of each type.
        Sample {
            /// Text.
            name: String,
            /// Text that may be missing.
            group: Option<String>,
            /// A number.
            score: f64,
            /// A number that may be missing.
            mos: Option<f64>,
            /// A small count.
            rank: Option<u32>,
            /// A count.
            pictures: u64,
            /// A mark.
            significant: bool,
            /// A time.
            created: Timestamp,
        }
    }

    fn sample() -> Sample {
        Sample {
            name: "dcp".to_owned(),
            score: 0.1 + 0.2,
            mos: Some(50.0),
            pictures: 7,
            significant: true,
            created: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
            ..Sample::default()
        }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let rows = [sample(), Sample { group: Some("city".to_owned()), mos: None, rank: Some(3), ..sample() }];
        assert_eq!(from_batch(&to_batch(&rows)).unwrap(), rows);
        assert_eq!(from_batch(&to_batch(&[])).unwrap(), []);
    }

    #[test]
    fn a_file_of_an_older_version_may_lack_what_may_be_missing() {
        let batch = to_batch(&[Sample { rank: Some(3), ..sample() }]);
        let without = |name: &str| {
            let kept: Vec<usize> = (0..batch.num_columns()).filter(|i| SCHEMA.field(*i).name() != name).collect();
            from_batch(&batch.project(&kept).unwrap())
        };
        assert_eq!(without("rank").unwrap(), [sample()]);
        let error = without("score").unwrap_err().to_string();
        assert!(error.contains("column `score` is missing"), "{error}");
    }
}
