-- Topology five-regions on database meridian, by multi-region, CockroachDB 26.2.
-- 6 statements, one at a time, each outside a transaction.

-- account is locked against schema changes, and a change of locality does not open the lock by itself.
-- Cost: metadata only; locks the schema of the table for a moment.
ALTER TABLE "meridian"."public"."account" SET (schema_locked = false);

-- the home of a row of account says where it lives; a home that is not listed is refused.
-- Cost: backfills the column: reads and rewrites every row of the table; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."account" ADD COLUMN IF NOT EXISTS "crdb_region_new" "meridian"."public"."crdb_internal_region" AS (CASE "home"
    WHEN 'apac' THEN 'asia-northeast1'
    WHEN 'de' THEN 'europe-west1'
    WHEN 'eu' THEN 'europe-west1'
    WHEN 'us' THEN 'us-east1'
END) STORED NOT NULL;

-- the column with the homes of topology five-regions takes over.
-- Cost: metadata only; locks the schema of the table for a moment.
ALTER TABLE "meridian"."public"."account" RENAME COLUMN "crdb_region" TO "crdb_region_prev", RENAME COLUMN "crdb_region_new" TO "crdb_region";

-- each row of account and of its indexes moves to its region.
-- Cost: rewrites the table and all its indexes, up to three times its space; commands go on, changefeeds send the table again; locks the schema of the table.
ALTER TABLE "meridian"."public"."account" SET LOCALITY REGIONAL BY ROW AS "crdb_region";

-- nothing is placed by the earlier column any more.
-- Cost: rewrites every row of the table without the column; commands go on; locks the schema of the table.
ALTER TABLE "meridian"."public"."account" DROP COLUMN IF EXISTS "crdb_region_prev";

-- a locked account lets changefeeds skip their checks for schema changes.
-- Cost: metadata only; locks the schema of the table for a moment.
ALTER TABLE "meridian"."public"."account" SET (schema_locked = true);
