//! A report table of one or more runs. Files of older versions lack the columns of the metric: there, they have the
//! values of the one metric of those versions.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, IsNullExpr, Literal, case};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use dqa_pipelines::metric::{CLIP_DQA, Direction};
use dqa_pipelines::tables::scores::METRIC;

/// A table of files, with the values of [`default_of`] instead of NULL.
#[derive(Debug)]
pub(crate) struct ReportTable(pub(crate) Arc<dyn TableProvider>);

/// Returns the value that a column has in files that lack it.
fn default_of(column: &str) -> Option<&'static str> {
    match column {
        METRIC => Some(CLIP_DQA),
        "direction" => Some(Direction::Higher.as_str()),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for ReportTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // The files would compare NULL.
        let pushdown =
            |filter: &&Expr| match filter.column_refs().iter().any(|column| default_of(&column.name).is_some()) {
                true => TableProviderFilterPushDown::Unsupported,
                false => TableProviderFilterPushDown::Inexact,
            };
        Ok(filters.iter().map(pushdown).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.0.scan(state, projection, filters, limit).await?;
        let schema = rows.schema();
        if schema.fields().iter().all(|field| default_of(field.name()).is_none()) {
            return Ok(rows);
        }
        let columns = schema.fields().iter().enumerate().map(|(index, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
            let Some(value) = default_of(field.name()) else { return Ok((column, field.name().clone())) };
            let value = Arc::new(Literal::new(ScalarValue::from(value)));
            let is_null = Arc::new(IsNullExpr::new(column.clone()));
            Ok((case(None, vec![(is_null, value)], Some(column))?, field.name().clone()))
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Result<Vec<_>>>()?, rows)?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::datasource::file_format::parquet::ParquetFormat;
    use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
    use datafusion::prelude::SessionContext;
    use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};
    use dqa_pipelines::tables::parquet_file;

    use super::*;

    #[tokio::test]
    async fn files_without_the_columns_have_the_values_of_their_version() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let file = parquet_file::write(&batch.schema(), &[batch], &[]).unwrap();
            std::fs::write(dir.path().join(name), file).unwrap();
        };
        let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let texts = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
        write("old.parquet", vec![("a", numbers(vec![1]))]);
        let names = texts(vec![Some("niqe"), None]);
        let directions = texts(vec![Some("lower"), None]);
        write("new.parquet", vec![("a", numbers(vec![2, 3])), ("metric", names), ("direction", directions)]);
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, false), text("metric"), text("direction")]);
        let url = ListingTableUrl::parse(dir.path().to_str().unwrap()).unwrap();
        let config = ListingTableConfig::new(url)
            .with_listing_options(ListingOptions::new(Arc::new(ParquetFormat::new())))
            .with_schema(Arc::new(schema));
        let context = SessionContext::new();
        let files = Arc::new(ListingTable::try_new(config).unwrap());
        context.register_table("t", Arc::new(ReportTable(files))).unwrap();
        for (condition, expected) in [
            ("true", vec![1, 2, 3]),
            ("metric = 'clip-dqa'", vec![1, 3]),
            ("metric = 'niqe' AND direction = 'lower'", vec![2]),
            ("direction = 'higher' AND a < 2", vec![1]),
            ("metric IS NULL", vec![]),
        ] {
            let frame = context.sql(&format!("SELECT a FROM t WHERE {condition} ORDER BY a")).await.unwrap();
            let plan = frame.create_physical_plan().await.unwrap();
            let sent = physical_plan_from_bytes(&physical_plan_to_bytes(plan).unwrap(), &context.task_ctx()).unwrap();
            let batches = datafusion::physical_plan::collect(sent, context.task_ctx()).await.unwrap();
            let values = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
            assert_eq!(values.collect::<Vec<_>>(), expected, "{condition}");
        }
    }
}
