//! A table of reports as a struct: its fields are the columns. Their types are those that every reader has: text, whole
//! numbers of 64 bits with a sign, floating-point numbers of 64 bits, true or false.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use jiff::Timestamp;

/// What a field can be.
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
    // In UTC. The type with a zone is one that readers differ about.
    const TYPE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(cells.map(|time| time.as_microsecond())))
    }
}

/// The row's struct, `SCHEMA` and `to_batch` of a table.
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
            use $crate::tables::row::Cell;
            let fields = vec![$(Field::new(stringify!($field), <$cell>::TYPE, <$cell>::NULLABLE)),*];
            std::sync::Arc::new(Schema::new(fields))
        });

        /// Rows as a batch of [`SCHEMA`].
        pub fn to_batch(rows: &[$row]) -> arrow::array::RecordBatch {
            use $crate::tables::row::Cell;
            let columns = vec![$(<$cell>::column(rows.iter().map(|row| &row.$field))),*];
            arrow::array::RecordBatch::try_new(SCHEMA.clone(), columns).expect("the columns are made to the schema")
        }
    };
}
