-- The database file. The views are kept in it, so that whoever opens it gets the selection and the
-- means that the report shows.

CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY, status VARCHAR, error VARCHAR, too_few_images BOOLEAN,
    preset VARCHAR, task VARCHAR, source VARCHAR, label VARCHAR, options JSON, n_asked BIGINT,
    seed BIGINT, image_order VARCHAR, variant JSON, model VARCHAR, fingerprints VARCHAR,
    objective VARCHAR,
    lr DOUBLE, epochs BIGINT, batch_size BIGINT, train JSON, evaluators JSON,
    n_matched BIGINT, n_fetched BIGINT, n_kept BIGINT, n_used BIGINT, image_set VARCHAR,
    empty_classes JSON,
    selection JSON, fidelity JSON, timings JSON, images_per_second DOUBLE, peak_memory_mb DOUBLE,
    device VARCHAR, weights VARCHAR, git_commit VARCHAR, git_dirty BOOLEAN, versions JSON,
    started VARCHAR, finished VARCHAR);

CREATE TABLE scores (
    run_id VARCHAR, evaluator VARCHAR, split VARCHAR, at_epoch VARCHAR, metric VARCHAR,
    value DOUBLE, n BIGINT, ci_low DOUBLE, ci_high DOUBLE, chosen JSON, trials JSON);

CREATE TABLE stage_counts (run_id VARCHAR, stage VARCHAR, counter VARCHAR, value DOUBLE);

CREATE TABLE predictions (
    run_id VARCHAR, evaluator VARCHAR, split VARCHAR, at_epoch VARCHAR, key VARCHAR, label BIGINT,
    predicted BIGINT);

-- The metric that an experiment's latest run was selected by, and its fingerprints of the task and
-- of the adapted model, which a name alone does not fix.
CREATE VIEW latest AS
SELECT preset, task, model,
       arg_max(coalesce((selection ->> 'metric'), 'accuracy'), (started, run_id)) AS metric,
       arg_max(fingerprints, (started, run_id)) AS fingerprints
FROM runs WHERE status = 'done' GROUP BY ALL;

-- The finished runs with the latest fingerprints; no others are compared.
CREATE VIEW current AS
SELECT runs.*, metric
FROM runs JOIN latest USING (preset, task, model, fingerprints) WHERE status = 'done';

-- Of the runs that differ only in hyper-parameters (learning rate, tau, batch size, any option of
-- the source that is not in `variant`), the one with the best VALIDATION score in the latest
-- metric; test scores play no part. The unadapted baseline (source `none`) had no objective,
-- whatever its spec says. The second QUALIFY drops `--n all` where it is the same number of images
-- as another run's n.
CREATE VIEW selected AS
WITH scored AS (
    SELECT current.* REPLACE (if(source = 'none', '', objective) AS objective),
           TRY_CAST(current.selection ->> 'epoch' AS DOUBLE) AS epoch,
           test.evaluator, validation.value AS validation,
           test.value AS test, test.n AS test_images, test.ci_low, test.ci_high, test.chosen,
           TRY_CAST(current.selection ->> 'trained_epoch' AS DOUBLE) AS trained_epoch,
           TRY_CAST(current.selection ->> 'last_epoch' AS DOUBLE) AS last_epoch,
           trained.value AS trained_test, last.value AS last_test
    FROM current
    JOIN scores AS test USING (run_id, metric)
    LEFT JOIN scores AS validation ON validation.run_id = current.run_id
        AND validation.evaluator = test.evaluator AND validation.metric = test.metric
        AND validation.split = 'val' AND validation.at_epoch = 'chosen'
    LEFT JOIN scores AS trained ON trained.run_id = current.run_id
        AND trained.evaluator = test.evaluator AND trained.metric = test.metric
        AND trained.split = 'test' AND trained.at_epoch = 'trained'
    LEFT JOIN scores AS last ON last.run_id = current.run_id
        AND last.evaluator = test.evaluator AND last.metric = test.metric
        AND last.split = 'test' AND last.at_epoch = 'last'
    WHERE test.split = 'test' AND test.at_epoch = 'chosen'
), best AS (
    SELECT *, count(*) OVER candidates AS candidates FROM scored
    WINDOW candidates AS (
        PARTITION BY preset, task, model, objective, source, variant, seed, evaluator, n_asked)
    QUALIFY row_number() OVER (candidates ORDER BY validation DESC NULLS LAST, run_id) = 1
)
SELECT * FROM best
QUALIFY row_number() OVER (
    PARTITION BY preset, task, model, objective, source, variant, seed, evaluator, n_used
    ORDER BY validation DESC NULLS LAST, run_id) = 1;

-- The means of what was selected; `per-class` scores are left out where they repeat `zero-shot`.
CREATE VIEW scaling AS
SELECT preset, task, model, objective, source, variant, label, evaluator, metric, n_used,
       count(*) AS seeds, avg(test) AS mean,
       min(test) AS seed_min, max(test) AS seed_max, stddev_samp(test) AS seed_std,
       avg(ci_low) AS test_low, avg(ci_high) AS test_high, max(test_images) AS test_images,
       max(n_kept) AS n_kept,
       avg(trained_test) AS trained_mean, avg(last_test) AS last_mean
FROM selected
WHERE evaluator <> 'per-class' OR run_id NOT IN (
    SELECT run_id FROM scores WHERE split_part(evaluator, ' ', 1) = 'zero-shot')
GROUP BY ALL;

-- What the selected runs answered to the test images, at the chosen and at the best trained epoch.
-- Where these are one, a run keeps its predictions once.
CREATE VIEW answers AS
SELECT preset, task, model, objective, source, selected.label, evaluator, metric, n_used, seed,
       wanted.at_epoch, key, predictions.label AS class, (class = predicted)::DOUBLE AS correct
FROM predictions JOIN selected USING (run_id, evaluator)
JOIN (VALUES ('chosen'), ('trained')) AS wanted(at_epoch)
    ON predictions.at_epoch = if(source = 'none' OR epoch = trained_epoch,
                                 'chosen', wanted.at_epoch)
WHERE split = 'test';
