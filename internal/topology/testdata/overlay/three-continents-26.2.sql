-- tables without a home live in the primary region, us-east1.
ALTER DATABASE "meridian" SET PRIMARY REGION "us-east1";

-- the database may keep replicas in europe-west1.
ALTER DATABASE "meridian" ADD REGION IF NOT EXISTS "europe-west1";

-- the database may keep replicas in asia-northeast1.
ALTER DATABASE "meridian" ADD REGION IF NOT EXISTS "asia-northeast1";

-- a quorum spans two regions: a lost region costs nothing, a commit waits for the nearest other one.
ALTER DATABASE "meridian" SURVIVE REGION FAILURE;

-- account is locked against schema changes, and a change of locality does not open the lock by itself.
ALTER TABLE "meridian"."public"."account" SET (schema_locked = false);

-- the home of a row of account says where it lives; a home that is not listed is refused.
ALTER TABLE "meridian"."public"."account" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of account and of its indexes moves to its region.
ALTER TABLE "meridian"."public"."account" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- a locked account lets changefeeds skip their checks for schema changes.
ALTER TABLE "meridian"."public"."account" SET (schema_locked = true);

-- journal is locked against schema changes, and a change of locality does not open the lock by itself.
ALTER TABLE "meridian"."public"."journal" SET (schema_locked = false);

-- the home of a row of journal says where it lives; a home that is not listed is refused.
ALTER TABLE "meridian"."public"."journal" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of journal and of its indexes moves to its region.
ALTER TABLE "meridian"."public"."journal" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- a locked journal lets changefeeds skip their checks for schema changes.
ALTER TABLE "meridian"."public"."journal" SET (schema_locked = true);

-- entry is locked against schema changes, and a change of locality does not open the lock by itself.
ALTER TABLE "meridian"."public"."entry" SET (schema_locked = false);

-- the home of a row of entry says where it lives; a home that is not listed is refused.
ALTER TABLE "meridian"."public"."entry" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of entry and of its indexes moves to its region.
ALTER TABLE "meridian"."public"."entry" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- a locked entry lets changefeeds skip their checks for schema changes.
ALTER TABLE "meridian"."public"."entry" SET (schema_locked = true);

-- hold is locked against schema changes, and a change of locality does not open the lock by itself.
ALTER TABLE "meridian"."public"."hold" SET (schema_locked = false);

-- the home of a row of hold says where it lives; a home that is not listed is refused.
ALTER TABLE "meridian"."public"."hold" ADD COLUMN IF NOT EXISTS "crdb_region" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- each row of hold and of its indexes moves to its region.
ALTER TABLE "meridian"."public"."hold" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- a locked hold lets changefeeds skip their checks for schema changes.
ALTER TABLE "meridian"."public"."hold" SET (schema_locked = true);

-- ledger is locked against schema changes, and a change of locality does not open the lock by itself.
ALTER TABLE "meridian"."public"."ledger" SET (schema_locked = false);

-- every region reads ledger from a copy of its own; the rare writes to it wait for all regions.
ALTER TABLE "meridian"."public"."ledger" SET LOCALITY GLOBAL;

-- a locked ledger lets changefeeds skip their checks for schema changes.
ALTER TABLE "meridian"."public"."ledger" SET (schema_locked = true);

-- asset is locked against schema changes, and a change of locality does not open the lock by itself.
ALTER TABLE "meridian"."public"."asset" SET (schema_locked = false);

-- every region reads asset from a copy of its own; the rare writes to it wait for all regions.
ALTER TABLE "meridian"."public"."asset" SET LOCALITY GLOBAL;

-- a locked asset lets changefeeds skip their checks for schema changes.
ALTER TABLE "meridian"."public"."asset" SET (schema_locked = true);
