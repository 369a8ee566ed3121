-- tables without a home live in the primary region, us-east1.
-- Cost: voters and leases of every table move to the region in the background; locks out other region and locality changes.
ALTER DATABASE "meridian" SET PRIMARY REGION "us-east1";

-- the database may keep replicas in europe-west1.
-- Cost: new replicas are copied in the background; locks out other region and locality changes, and index changes of tables that are REGIONAL BY ROW.
ALTER DATABASE "meridian" ADD REGION IF NOT EXISTS "europe-west1";

-- the database may keep replicas in asia-northeast1.
-- Cost: new replicas are copied in the background; locks out other region and locality changes, and index changes of tables that are REGIONAL BY ROW.
ALTER DATABASE "meridian" ADD REGION IF NOT EXISTS "asia-northeast1";

-- a quorum spans two regions: a lost region costs nothing, a commit waits for the nearest other one.
-- Cost: replicas are added or moved in the background, and every commit has its new latency from then on; locks out other region changes.
ALTER DATABASE "meridian" SURVIVE REGION FAILURE;

-- the home of a row of account says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."account" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of account and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."account" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of journal says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."journal" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of journal and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."journal" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of entry says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."entry" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of entry and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."entry" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of hold says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."hold" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of hold and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."hold" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of payment says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."payment" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of payment and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."payment" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of payment_step says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."payment_step" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of payment_step and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."payment_step" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of player says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."player" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of player and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."player" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of relay says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."relay" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of relay and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."relay" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of stream says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."stream" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of stream and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."stream" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of progress says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."progress" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of progress and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."progress" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of delivery says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."delivery" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of delivery and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."delivery" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of replay says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."replay" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of replay and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."replay" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of search_state says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."search_state" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of search_state and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."search_state" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of search_transaction says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."search_transaction" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of search_transaction and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."search_transaction" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of search_account says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."search_account" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of search_account and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."search_account" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of callback says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."callback" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of callback and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."callback" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of saga says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."saga" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of saga and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."saga" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of saga_step says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."saga_step" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of saga_step and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."saga_step" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of statement says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."statement" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of statement and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."statement" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of statement_line says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."statement_line" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of statement_line and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."statement_line" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of recon_run says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."recon_run" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of recon_run and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."recon_run" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of recon_result says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."recon_result" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of recon_result and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."recon_result" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of recon_resolution says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."recon_resolution" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of recon_resolution and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."recon_resolution" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- the home of a row of recon_decision says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."recon_decision" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of recon_decision and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."recon_decision" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- every region reads ledger from a copy of its own; the rare writes to it wait for all regions.
-- Cost: no rewrite; from then on each write to it waits until every region may read it; locks the schema of the table.
ALTER TABLE "meridian"."public"."ledger" SET LOCALITY GLOBAL;

-- every region reads asset from a copy of its own; the rare writes to it wait for all regions.
-- Cost: no rewrite; from then on each write to it waits until every region may read it; locks the schema of the table.
ALTER TABLE "meridian"."public"."asset" SET LOCALITY GLOBAL;
