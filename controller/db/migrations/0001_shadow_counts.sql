ALTER TABLE `windows` ADD `shadow_compared` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `windows` ADD `shadow_disagreed` integer DEFAULT 0 NOT NULL;