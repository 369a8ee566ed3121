-- Topology five-regions on database meridian, by zone-configurations.
-- NOT PROMISED: home apac has no copy in its own region, asia-northeast1: the copies stand in us-east1, us-central1, us-west1.
-- NOT PROMISED: home apac is served from us-east1 and not from asia-northeast1: its reads and commits cross regions.
-- NOT PROMISED: home eu has no copy in its own region, europe-west1: the copies stand in us-east1, us-central1, us-west1.
-- NOT PROMISED: home eu is served from us-east1 and not from europe-west1: its reads and commits cross regions.
-- NOT PROMISED: rows of one home do not stand apart from those of another: no home can be kept out of a region, or moved, by itself.
-- NOT PROMISED: a home that the topology does not list is not refused by the database.
-- NOT PROMISED: tables without a home (migrations, locks, subscriptions) stay where the cluster puts them, and no table has a fast copy in every region.
-- 26 statements, one at a time, each outside a transaction.

-- copies of account stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."account" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of journal stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."journal" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of entry stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."entry" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of hold stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."hold" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of payment stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."payment" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of payment_step stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."payment_step" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of player stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."player" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of relay stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."relay" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of stream stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."stream" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of progress stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."progress" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of delivery stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."delivery" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of replay stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."replay" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of search_state stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."search_state" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of search_transaction stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."search_transaction" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of search_account stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."search_account" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of callback stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."callback" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of saga stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."saga" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of saga_step stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."saga_step" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of statement stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."statement" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of statement_line stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."statement_line" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of recon_run stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."recon_run" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of recon_result stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."recon_result" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of recon_resolution stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."recon_resolution" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of recon_decision stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."recon_decision" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of ledger stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."ledger" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';

-- copies of asset stand in us-east1, us-central1, us-west1, and us-east1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."asset" CONFIGURE ZONE USING num_replicas = 5, constraints = '{"+region=us-central1": 2, "+region=us-east1": 2, "+region=us-west1": 1}', lease_preferences = '[[+region=us-east1]]';
