//! The table `scores` of one or more runs: the rows of each run's parts, with the run's name as the first column. The
//! files do not contain the run, because runs share them. A part of two runs appears once for each run.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

use dqa_pipelines::tables::scores;

/// The first column, which is not in the files.
pub(crate) const RUN_COLUMN: &str = "run";

/// The table's columns.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![Arc::new(Field::new(RUN_COLUMN, DataType::Utf8, false))];
    fields.extend(scores::SCHEMA.fields().iter().cloned());
    Arc::new(Schema::new(fields))
});

/// The runs, each with the table of its parts.
#[derive(Debug)]
pub(crate) struct ScoresTable(pub(crate) Vec<(String, Arc<dyn TableProvider>)>);

#[async_trait]
impl TableProvider for ScoresTable {
    fn schema(&self) -> SchemaRef {
        SCHEMA.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let uses_file_columns_only =
            |filter: &&Expr| filter.column_refs().iter().all(|column| column.name != RUN_COLUMN);
        // The files skip rows that cannot match. The filter itself remains above the scan.
        let pushdown = |filter| match uses_file_columns_only(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
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
        let all: Vec<usize> = (0..SCHEMA.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let file_columns: Vec<usize> = wanted.iter().filter(|column| **column > 0).map(|column| column - 1).collect();
        let mut inputs = Vec::with_capacity(self.0.len());
        for (run, parts) in &self.0 {
            let rows = parts.scan(state, Some(&file_columns), filters, limit).await?;
            let mut file_column = 0;
            let columns = wanted.iter().map(|column| {
                let name = SCHEMA.field(*column).name().clone();
                let expr: Arc<dyn PhysicalExpr> = if *column == 0 {
                    Arc::new(Literal::new(ScalarValue::from(run.as_str())))
                } else {
                    file_column += 1;
                    Arc::new(Column::new(&name, file_column - 1))
                };
                (expr, name)
            });
            let columns: Vec<_> = columns.collect();
            inputs.push(Arc::new(ProjectionExec::try_new(columns, rows)?) as Arc<dyn ExecutionPlan>);
        }
        UnionExec::try_new(inputs)
    }
}
