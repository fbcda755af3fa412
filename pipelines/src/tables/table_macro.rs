//! The macro `table!`: defines a report table by a struct whose fields are the columns. Only column types that every
//! Parquet reader supports are used: text, signed 64-bit integers, 64-bit floating-point numbers and booleans.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use jiff::Timestamp;

/// A type of column.
pub(super) trait Cell {
    const TYPE: DataType;
    const NULLABLE: bool = false;

    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
}

macro_rules! cell {
    ($type:ty, $data_type:ident, $array:ty, $value:expr) => {
        impl Cell for $type {
            const TYPE: DataType = DataType::$data_type;

            fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(<$array>::from_iter_values(cells.map($value)))
            }
        }

        impl Cell for Option<$type> {
            const TYPE: DataType = DataType::$data_type;
            const NULLABLE: bool = true;

            fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(cells.map(|cell| cell.as_ref().map($value)).collect::<$array>())
            }
        }
    };
}

cell!(String, Utf8, StringArray, |text: &'a String| text.as_str());
cell!(f64, Float64, Float64Array, |number: &f64| *number);
cell!(u32, Int64, Int64Array, |number: &u32| i64::from(*number));
cell!(u64, Int64, Int64Array, |number: &u64| i64::try_from(*number).expect("a count of rows"));

impl Cell for bool {
    const TYPE: DataType = DataType::Boolean;

    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(cells.map(|cell| Some(*cell)).collect::<BooleanArray>())
    }
}

impl Cell for Timestamp {
    // The time is UTC. Readers differ in how they handle timestamps with a time zone.
    const TYPE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(cells.map(|time| time.as_microsecond())))
    }
}

/// Defines the row's struct, `SCHEMA` and `to_batch` of a table.
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
    };
}
