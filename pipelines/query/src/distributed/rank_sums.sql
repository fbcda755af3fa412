WITH pictures AS (
  -- Plus zero: a negative zero, which sorts by itself, becomes the other one.
  SELECT arrow_cast(dataset, 'Utf8') AS dataset, {name} AS name, {score} + 0e0 AS score, mos + 0e0 AS mos
  FROM {SCORES} WHERE {covered} AND {named} AND score IS NOT NULL AND mos IS NOT NULL
), labelled AS (
  SELECT dataset, name, score, mos, {score_bucket} AS score_bucket, {mos_bucket} AS mos_bucket FROM pictures
), buckets AS (
  SELECT dataset, name, score_bucket, count(*) AS n,
         sum(score) AS score_sum, min(score) AS score_low, max(score) AS score_high,
         sum(mos) AS mos_sum, min(mos) AS mos_low, max(mos) AS mos_high
  FROM labelled GROUP BY dataset, name, score_bucket
), group_buckets AS (
  SELECT dataset, name, score_bucket, sum(n) OVER in_order - n AS before,
         sum(score_sum) OVER of_group / sum(n) OVER of_group AS score_mean,
         sum(mos_sum) OVER of_group / sum(n) OVER of_group AS mos_mean,
         min(score_low) OVER of_group AS score_low, max(score_high) OVER of_group AS score_high,
         min(mos_low) OVER of_group AS mos_low, max(mos_high) OVER of_group AS mos_high
  FROM buckets
  WINDOW of_group AS (PARTITION BY dataset, name), in_order AS (PARTITION BY dataset, name ORDER BY score_bucket)
), placed AS (
  -- Rounding can put a mean outside of the range; inside, a difference to it is as exact as one between two values.
  SELECT dataset, name, score_bucket, before,
         greatest(score_low, least(score_high, score_mean)) AS score_centre, score_high - score_low AS score_width,
         greatest(mos_low, least(mos_high, mos_mean)) AS mos_centre, mos_high - mos_low AS mos_width
  FROM group_buckets
), ranked AS (
  SELECT dataset, name, score_bucket, mos_bucket, score, mos,
         CAST(rank() OVER in_order AS BIGINT) + count(*) OVER in_order AS twice_rank
  FROM labelled WINDOW in_order AS (PARTITION BY dataset, name, score_bucket ORDER BY score)
), measured AS (
  SELECT ranked.dataset, ranked.name, mos_bucket, mos, 2 * before + twice_rank AS twice_rank,
         (score - score_centre) / nullif(score_width, 0e0) AS x, (mos - mos_centre) / nullif(mos_width, 0e0) AS y
  FROM placed JOIN ranked ON placed.dataset = ranked.dataset AND placed.name = ranked.name
       AND placed.score_bucket = ranked.score_bucket
), labels AS (
  SELECT dataset, name, mos_bucket, mos, count(*) AS n, sum(twice_rank) AS score_ranks,
         sum(CAST(twice_rank AS {big}) * twice_rank) AS score_squares,
         sum(x) AS x, sum(y) AS y, sum(x * x) AS xx, sum(y * y) AS yy, sum(x * y) AS xy
  FROM measured GROUP BY dataset, name, mos_bucket, mos
), label_ranks AS (
  SELECT *, 2 * sum(n) OVER (PARTITION BY dataset, name, mos_bucket ORDER BY mos) - n + 1 AS twice_rank FROM labels
), label_buckets AS (
  SELECT dataset, name, mos_bucket, sum(n) AS n, sum(score_ranks) AS score_ranks, sum(score_squares) AS score_squares,
         sum(n * twice_rank) AS mos_ranks, sum(CAST(n * twice_rank AS {big}) * twice_rank) AS mos_squares,
         sum(CAST(score_ranks AS {big}) * twice_rank) AS products,
         sum(x) AS x, sum(y) AS y, sum(xx) AS xx, sum(yy) AS yy, sum(xy) AS xy
  FROM label_ranks GROUP BY dataset, name, mos_bucket
), label_places AS (
  SELECT *, CAST(2 * (sum(n) OVER (PARTITION BY dataset, name ORDER BY mos_bucket) - n) AS {big}) AS twice_before
  FROM label_buckets
)
SELECT dataset, name, sum(n) AS n, sum(score_squares) AS score_squares,
       sum(mos_squares + 2 * twice_before * mos_ranks + twice_before * twice_before * n) AS mos_squares,
       sum(products + twice_before * score_ranks) AS products,
       sum(x) AS x, sum(y) AS y, sum(xx) AS xx, sum(yy) AS yy, sum(xy) AS xy
FROM label_places GROUP BY dataset, name
